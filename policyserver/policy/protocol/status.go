package protocol

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Status is the part of a Kubernetes Status that an answer to an admission request carries;
// the names are those of meta/v1.
type Status struct {
	Status  string   `json:"status,omitempty"`
	Message *string  `json:"message,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Code    *uint16  `json:"code,omitempty"`
	Details *Details `json:"details,omitempty"`
}

// Details are the details of a Status.
type Details struct {
	Name   string  `json:"name,omitempty"`
	Group  string  `json:"group,omitempty"`
	Kind   string  `json:"kind,omitempty"`
	UID    string  `json:"uid,omitempty"`
	Causes []Cause `json:"causes,omitempty"`
	// RetryAfterSeconds is spelled as Kubernetes does; upstream's retry_after_seconds is
	// read by nobody.
	RetryAfterSeconds *int32 `json:"retryAfterSeconds,omitempty"`
}

// Cause is one cause in a Status. Its members are always present, null when unset, as
// upstream writes them.
type Cause struct {
	Reason  *string `json:"reason"`
	Message *string `json:"message"`
	Field   *string `json:"field"`
}

// String is what a cause says, without quotes.
func (c Cause) String() string {
	text := make([]string, 0, 2)
	for _, part := range []*string{c.Field, c.Message} {
		if part != nil {
			text = append(text, *part)
		}
	}
	return strings.Join(text, ": ")
}

// What upstream takes for a status and for the reasons (crate policy-evaluator, module
// admission_response): those of meta/v1.
var (
	statuses = []string{"", "Success", "Failure"}
	reasons  = []string{
		"", "Unauthorized", "Forbidden", "NotFound", "AlreadyExists", "Conflict", "Gone", "Invalid", "ServerTimeout",
		"Timeout", "TooManyRequests", "BadRequest", "MethodNotAllowed", "NotAcceptable", "RequestEntityTooLarge",
		"UnsupportedMediaType", "InternalError", "Expired", "ServiceUnavailable",
	}
	causeReasons = []string{
		"FieldValueNotFound", "FieldValueRequired", "FieldValueDuplicate", "FieldValueInvalid", "FieldValueNotSupported",
		"FieldValueForbidden", "FieldValueTooLong", "FieldValueTooMany", "InternalError", "FieldValueTypeInvalid",
		"UnexpectedServerResponse", "FieldManagerConflict", "ResourceVersionTooLarge",
	}
)

// decodeStatus decodes a status, nil where it is null.
func decodeStatus(document json.RawMessage) (*Status, error) {
	if isNull(document) {
		return nil, nil
	}
	var status Status
	var details json.RawMessage
	err := decodeObject(document, map[string]any{
		"status": &status.Status, "message": &status.Message, "reason": &status.Reason,
		"code": &status.Code, "details": &details,
	})
	if err != nil {
		return nil, err
	}
	if err := oneOf("status", status.Status, statuses); err != nil {
		return nil, err
	}
	if err := oneOf("reason", status.Reason, reasons); err != nil {
		return nil, err
	}
	if status.Details, err = decodeDetails(details); err != nil {
		return nil, fmt.Errorf("details: %w", err)
	}
	return &status, nil
}

func decodeDetails(document json.RawMessage) (*Details, error) {
	if isNull(document) {
		return nil, nil
	}
	var details Details
	var causes []json.RawMessage
	err := decodeObject(document, map[string]any{
		"name": &details.Name, "group": &details.Group, "kind": &details.Kind, "uid": &details.UID, "causes": &causes,
		"retryAfterSeconds": &details.RetryAfterSeconds, "retry_after_seconds": &details.RetryAfterSeconds,
	})
	if err != nil {
		return nil, err
	}
	if causes == nil {
		return nil, missing("causes", "a list")
	}
	for i, item := range causes {
		var cause Cause
		err := decodeObject(item, map[string]any{"reason": &cause.Reason, "message": &cause.Message, "field": &cause.Field})
		if err == nil && cause.Reason != nil {
			err = oneOf("reason", *cause.Reason, causeReasons)
		}
		if err != nil {
			return nil, fmt.Errorf("causes[%d]: %w", i, err)
		}
		details.Causes = append(details.Causes, cause)
	}
	return &details, nil
}

func oneOf(key, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: got %q, allowed are %q", key, value, allowed)
}

func isNull(document json.RawMessage) bool { return len(document) == 0 || string(document) == "null" }
