// Package audit measures what audit scans cost: a first scan, one of a cluster in which
// nothing has changed, and one after a hundredth of the objects has. The API server with its
// etcd, the policy server and the audit scanner are the real ones, each a process of its own
// on 127.0.0.1; only the operator is missing, whose word that the policies are active the
// test puts into their status.
//
//	make bench-audit      10,000 objects in 200 namespaces, 20 policies; prints a table,
//	                      writes build/audit.json
//
// What is counted is counted where it arrives: evaluations by the policy server, writes by the
// API server, bytes in etcd. Evaluations, writes, memory and bytes have limits that the test
// holds. So has what a first scan takes of processors, in the policy server and the scanner,
// beside what requests take without policies at that time (test/bench/floor). Rates by the clock
// are shown and hold nothing, since they depend on who else uses the processors, and the API
// server uses them, too. Without flags there are few objects.
//
//	cost_test.go       the scans, one after the other
//	result_test.go     figures, limits, the file and the table
//	floor_test.go      the floor as a child
//	cluster_test.go    the API server, and what it has counted
//	etcd_test.go       how large reports are where they are stored
//	objects_test.go    what is scanned, and what changes
//	ways_test.go       a sample scanned in both ways of asking, in turns
//	policies_test.go   the policies, in the cluster and for the policy server
//	processes_test.go  the policy server and the scanner as children
//
// What belongs here: figures of whole scans.
//
// What never does: what a report says, and which questions are put; those are the tests of
// audit/scan and test/integration/audit.
package audit
