// Package scale counts what the operator does for many policies: reconciles, calls of the API
// server by verb, and the memory that it holds. It builds installations of several sizes, one
// after the other, and checks that the work for a policy is the same whatever their number.
//
//	make scale      125, 250 and 500 policies; prints a table, writes build/scale.json
//
// In continuous integration the same test runs with few policies. What it checks are counts,
// not times: a slow machine counts the same.
//
// What belongs here: counting, and installations that are nothing but large.
//
// What never does: what a single policy is to look like; that is test/integration/operator.
package scale
