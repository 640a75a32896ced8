// Package certificate is the host capability crypto: it tells policies whether a certificate
// is trusted.
//
// What belongs here: the operation v1/is_certificate_trusted, its payload and its answer, as
// upstream has them (crate policy-evaluator, callback_handler/crypto.rs), and what trusted
// means. A certificate that is not trusted is an answer, not an error.
//
// What never does: signatures of artefacts (policyserver/fetch/signature).
package certificate
