package protocol

import "encoding/json"

// ValidationResponse is a policy's answer to a request.
type ValidationResponse struct {
	// Accepted is the verdict.
	Accepted bool
	// Message explains a rejection; nil when the policy gave none.
	Message *string
	// Code is an HTTP status code by custom, 0 to 65535; nil when the policy gave none.
	Code *uint16
	// MutatedObject is the whole object as the policy wants it, one JSON value; nil when
	// the policy wants no change.
	MutatedObject json.RawMessage
	// AuditAnnotations are added to the audit record of the request.
	AuditAnnotations map[string]string
	// Warnings are shown to the user of the request.
	Warnings []string
}

// SettingsValidationResponse is a policy's answer to its settings.
type SettingsValidationResponse struct {
	// Valid says whether the policy can work with them.
	Valid bool
	// Message says why not; nil when the policy gave no reason.
	Message *string
}
