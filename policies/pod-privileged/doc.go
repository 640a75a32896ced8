// Command pod-privileged is the policy of that name: it refuses Pods, and workloads whose
// Pods, run a privileged container.
package main
