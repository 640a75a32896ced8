// Package rego calls guests that OPA has compiled from Rego (execution modes "opa" and
// "gatekeeper") and serves what they import from module "env". The protocol is OPA's
// WebAssembly ABI 1.x; which of its functions are used, and how, is upstream's.
//
// What belongs here: how input and data reach a guest and its result comes back, and the
// builtins that a guest asks the host for.
//
//	host                                          guest
//	  opa_malloc, write, opa_json_parse         -> data, then input
//	  opa_eval_ctx_new, ..._set_*, eval         ->
//	                                             <- opa_builtinN(id, ctx, arguments)
//	    opa_value_dump(argument)                ->
//	    opa_malloc, write, opa_value_parse      -> result
//	  opa_eval_ctx_get_result, opa_json_dump    ->
//
// The builtins are those of OPA's own interpreter, so that a policy does what its author
// saw when testing it. Only those on a list are offered: none that reaches a network or
// this process, none that needs secrets or chance, and none whose answer can be vastly
// larger than its arguments. A module that needs another does not load. A builtin that
// fails ends the evaluation, where OPA would call its value undefined: a policy that
// cannot tell must not let anything pass.
//
// What never does: what a result means for a request (policyserver/policy/protocol).
package rego
