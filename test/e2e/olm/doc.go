// Package olm holds the end-to-end test of a life under the Operator Lifecycle Manager: the
// operator is installed from a catalog, works, is upgraded and is removed, on a real
// cluster. `make e2e-olm` brings all of that up first.
//
// What belongs here: what is different when OLM installs the operator: its rights, the
// examples that consoles offer, upgrades, and removal in either order.
//
// What never does: what policies and policy servers do; that is the test beside this one.
package olm
