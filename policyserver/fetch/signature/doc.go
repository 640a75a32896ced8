// Package signature judges whether an artefact has the signatures that verification.yml
// demands, as cosign makes them.
//
// What belongs here: the format of a signature layer, the check of one layer against one
// requirement, by key or by identity, the trust root of Sigstore that identities are checked
// by, and which requirements a set of layers leaves open.
//
// What never does: talking to a registry (policyserver/fetch brings the layers), and
// reading verification.yml (policyserver/contract). Nothing that comes in is trusted but
// the requirements, the trust root and the digest of the artefact's manifest.
//
// Where the data goes next: whoever hands out a module refuses it with the error of Check.
package signature
