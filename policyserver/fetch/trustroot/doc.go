// Package trustroot keeps the public trust root of Sigstore: fetched in the background, by
// The Update Framework (TUF), checked by a root of trust that is compiled in.
//
// What belongs here: when to fetch, what to go on with while that fails, and the folder in
// which what was fetched survives the process.
//
// What never does: judging signatures (policyserver/fetch/signature), and waiting: whoever
// asks gets the trust root that is there, or the reason why there is none.
package trustroot
