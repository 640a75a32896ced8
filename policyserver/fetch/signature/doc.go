// Package signature judges whether an artefact has the signatures that verification.yml
// demands, as cosign makes them.
//
// What belongs here: the formats of signatures, which are layers and bundles, the check of
// one signature against one requirement, by key, by identity or by certificate, the trust root of Sigstore
// that identities are checked by, and which requirements a set of signatures leaves open.
//
// What never does: talking to a registry (policyserver/fetch brings the signatures), and
// reading verification.yml (policyserver/contract). Nothing that comes in is trusted but
// the requirements, the trust root and the digest of the artefact's manifest.
//
// Where the data goes next: whoever hands out a module refuses it with the error of Check.
package signature
