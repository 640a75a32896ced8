// Command namespace-labels is the policy of that name: Pods must carry the labels that their
// Namespace demands by an annotation. It reads the Namespace.
package main
