// Package fetch gets the bytes of policy modules from where they are published:
// registries (registry:// or no scheme), web servers (https://, http://) and files
// (file://).
//
// What belongs here: the reading of URLs and of OCI artefacts, the trust that sources.yml
// gives and takes, the check of digests, and a store on disk so that a module is
// downloaded once. URL forms, media types and the order of attempts are upstream's (crate
// policy-fetcher).
//
// What never does: what is inside a module beyond its first four bytes
// (policyserver/policy), and when to try again (policyserver/evaluation): an *Error only
// says whether that can help.
//
// Where the data goes next: policyserver/evaluation compiles what Client.Fetch gives.
package fetch
