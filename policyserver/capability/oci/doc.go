// Package oci is the host capability oci: it tells policies what registries hold.
//
// What belongs here: the operations v1/manifest_digest, v1/oci_manifest and
// v1/oci_manifest_config, their payloads and their answers, as upstream has them (crates
// policy-evaluator, callback_handler/oci.rs, and kubewarden-policy-sdk,
// host_capabilities/oci.rs).
//
// What never does: how a registry is reached, and by which credentials: a client of modules
// is handed in (policyserver/fetch), and another one when the configuration changes. For how
// long an answer is kept is configured (policyserver/capability/answers keeps it).
package oci
