// Package sigstore is a Sigstore of one's own, for tests: an authority that certifies
// identities, a log of its certificates, a transparency log and a timestamp authority, all
// in memory.
//
// What belongs here: signing anything for any identity, well or with one flaw, and the trust
// root by which signatures are verified.
//
// What never does: verifying (policyserver/fetch/signature), and storing in a registry.
package sigstore
