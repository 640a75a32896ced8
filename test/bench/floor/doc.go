// Package floor is what figures of a policy server's speed are held beside: what a whole request
// costs without any policy, on this machine at this time. A figure of the reference machine is
// so told as a number of floors, on a machine that is slower or has others to serve.
//
//	serve.go   the floor: a server that reads a request and accepts it, a process of its own
//	client.go  who asks it, and policy servers, as an API server does
//	cost.go    what of processors a request takes; what it takes on the reference machine
//
// What belongs here: the floor, its client, and their cost.
//
// What never does: policies, verdicts, and figures that are held; the benchmarks have those.
package floor
