// Command load measures a policy server as its clients see it. It starts the binary as a
// child on 127.0.0.1, with TLS, sends requests of which it knows the verdicts, and writes
// what it found into a file.
//
//	go run ./test/load [--duration 20s] [--concurrency 16] [--policies 20]
//	go run ./test/load --soak [--duration 10m] [--no-cgroup]
//
// A load asks policies of the guests in test/bench/guests, in two phases: as fast as the
// server can (a closed loop: each of some clients waits for its answer), then half of that
// rate for the latencies (an open loop: requests are due at fixed times and latency counts
// from there, so that a server that stalls is not spared the requests that it kept from
// being sent). In turns with the server a floor is asked (test/bench/floor), a child that
// accepts everything, for what requests cost without policies on this machine at this time.
// Before that the server is started with nothing and with all at hand. Figures have bounds,
// and a figure that does not hold is an error.
//
// A soak asks policies of policies/ at half the rate with a changed policies.yml every
// second, and looks at the memory.
//
// What belongs here: clients, the policies they know verdicts of, and figures. Everything
// that is asked is checked: a wrong verdict is an error, and the server's own counters have
// to agree with what was received.
//
// What never does: importing a room of the server but its contract, or dialling anything
// but 127.0.0.1. The figures go to build/load.json and build/soak.json.
//
// It runs on Linux: the memory is read from /proc, and bounded by a cgroup of either version
// (as root). A group that a killed run has left is removed by the next run.
package main
