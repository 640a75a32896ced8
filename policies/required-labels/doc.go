// Command required-labels is the policy of that name: it demands labels, denies others,
// and bounds the values of labels by regular expressions.
package main
