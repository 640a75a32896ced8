// Package wapc calls waPC guests (execution mode "kubewarden-wapc") and serves what they
// import from module "wapc". The protocol is upstream's.
//
// What belongs here: how an operation and a payload reach a guest, how its answer or its
// error comes back, and how its host calls travel.
//
//	host                                   guest
//	  __guest_call(len(op), len(payload)) ->
//	                                       <- __guest_request(op, payload)   fetches both
//	                                       <- __host_call(...)               any number
//	                                       <- __guest_response or __guest_error
//	  1 or 0                               <-
//
// What never does: what the operations and documents mean (policyserver/policy/protocol),
// and what a host call does (policyserver/policy/host).
package wapc
