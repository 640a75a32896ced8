// Package memory decides what a policy server does with the memory that its container has.
//
// What belongs here: finding the limit of the control group (limit.go), the arithmetic of
// what is whose (plan.go) and of when Go's collector runs (collector.go), and counting what the engine holds of its part (budget.go). It
// uses the standard library only, and nothing here reads a global: the files come as an
// fs.FS, and who sets Go's memory limit is told by a function.
//
// What never does: what a module or a policy is, and who has to go when there is no room;
// that is for policyserver/evaluation, which knows whose they are.
//
// Where the data goes next: policyserver sets Go's memory limit, policyserver/policy asks
// the Budget before it compiles a module or gives a guest memory.
package memory
