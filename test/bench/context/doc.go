// Package context measures what policies that read the cluster cost: a policy in Rego that
// gets 3,000 Namespaces as its data, asked by 20 clients, and a policy that lists 10,000
// RoleBindings. The API server with its etcd and the policy server are the real ones, each a
// process of its own on 127.0.0.1.
//
//	make bench-context      prints a table, writes build/context.json; a part of make bench
//
// Each is asked while nothing changes and while an object changes now and then. The 95th
// percentile and the mean of the answers have limits that the test holds, and so has the
// memory that the policy server has when it is idle again. What a guest makes of a list is its
// own: the one that lists RoleBindings looks at none. Without flags there are few objects and
// few requests, and limits on time hold nothing.
//
//	reads_test.go      what is asked, and in which order
//	result_test.go     figures, limits, the file and the table
//	cluster_test.go    the API server and its objects
//	server_test.go     the policy server as a child, and its clients
//
// What belongs here: figures of policies that read objects.
//
// What never does: what such policies answer (policyserver/kube/objects, test/conformance).
package context
