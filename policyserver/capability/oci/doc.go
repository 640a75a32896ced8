// Package oci is the host capability oci: it tells policies what registries hold, and whether
// that is signed by those whom a policy names.
//
// What belongs here: the operations v1/manifest_digest, v1/oci_manifest,
// v1/oci_manifest_config, v1/verify and v2/verify, their payloads and their answers, as
// upstream has them (crates policy-evaluator, callback_handler/oci.rs and
// sigstore_verification.rs, and kubewarden-policy-sdk, host_capabilities).
//
// What never does: how a registry is reached, and by which credentials: a client of modules
// is handed in (policyserver/fetch), and another one when the configuration changes. Whose
// signature one is, is judged there as well (policyserver/fetch/signature). For how long an answer is kept is configured (policyserver/capability/answers keeps it).
package oci
