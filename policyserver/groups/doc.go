// Package groups is the language of policy groups: a boolean expression over the verdicts
// of the group's members, such as
//
//	signed_by_alice() || (from_registry() && !privileged())
//
// What belongs here: which expressions there are (compile.go, check.go), how one is
// evaluated (evaluate.go), and what a member can be named (name.go). The syntax is CEL's,
// parsed by cel-go, and of CEL there are members called without arguments, !, &&, ||, the
// conditional operator, true and false, comparisons of two boolean expressions by == and
// !=, and comparisons of two literals. Evaluation is strict and goes from left to right,
// which CEL's own is not: docs/adr/0014-groups-fail-closed.md.
//
// What never does: what a member is and how it is asked, the answer to a request
// (policyserver/evaluation), Kubernetes.
//
// Where the data goes next: controllers/admission refuses what Compile refuses, and
// policyserver/evaluation calls members as Evaluate tells.
package groups
