// Package dns is the host capability net: it looks up the addresses of a host for policies.
//
// What belongs here: the operation v1/dns_lookup_host, its payload and its answer, as
// upstream has them (crate policy-evaluator, callback_handler/mod.rs).
//
// What never does: connecting to anything. For how long an answer is kept is configured
// (policyserver/capability/answers keeps it).
package dns
