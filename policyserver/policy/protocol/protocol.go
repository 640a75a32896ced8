package protocol

import (
	"encoding/json"
	"fmt"
)

// AppendValidationRequest appends the document that a policy is asked with:
// {"request":...,"settings":...}. The request and the settings are JSON values and are
// copied as they are, so that a guest sees every number as the API server wrote it.
// Settings that are empty or null are an empty object.
func AppendValidationRequest(to []byte, request, settings json.RawMessage) []byte {
	to = append(to, `{"request":`...)
	to = append(to, request...)
	to = append(to, `,"settings":`...)
	to = append(to, Settings(settings)...)
	return append(to, '}')
}

// Settings is the document that a policy is asked about its settings with: the settings,
// or an empty object where they are empty or null.
func Settings(settings json.RawMessage) json.RawMessage {
	if len(settings) == 0 || string(settings) == "null" {
		return json.RawMessage("{}")
	}
	return settings
}

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
	// Status is the whole status of a policy that answers as a webhook does, as those of
	// mode "opa" do; Message and Code are nil beside it. It is nil for all others.
	Status *Status
	// Patch is a JSON patch (RFC 6902) of a policy that answers as a webhook does;
	// MutatedObject is nil beside it. It is nil for all others.
	Patch json.RawMessage
	// AuditAnnotations are added to the audit record of the request.
	AuditAnnotations map[string]string
	// Warnings are shown to the user of the request.
	Warnings []string
}

// DecodeValidationResponse decodes what a guest answered to a request. It is strict: a
// verdict that can be read in two ways is none. Keys that are not known are ignored.
func DecodeValidationResponse(document []byte) (ValidationResponse, error) {
	var response ValidationResponse
	var accepted *bool
	var annotations map[string]*string
	var warnings []*string
	err := decodeObject(document, map[string]any{
		"accepted":          &accepted,
		"message":           &response.Message,
		"code":              &response.Code,
		"mutated_object":    &response.MutatedObject,
		"audit_annotations": &annotations,
		"warnings":          &warnings,
	})
	if err != nil {
		return ValidationResponse{}, err
	}
	if accepted == nil {
		return ValidationResponse{}, missing("accepted", "true or false")
	}
	response.Accepted = *accepted
	if string(response.MutatedObject) == "null" {
		response.MutatedObject = nil
	}
	if response.AuditAnnotations, err = texts("audit_annotations", annotations); err != nil {
		return ValidationResponse{}, err
	}
	if response.Warnings, err = lines("warnings", warnings); err != nil {
		return ValidationResponse{}, err
	}
	return response, nil
}

// texts are the members of an object of strings.
func texts(key string, members map[string]*string) (map[string]string, error) {
	if len(members) == 0 {
		return nil, nil
	}
	decoded := make(map[string]string, len(members))
	for name, value := range members {
		if value == nil {
			return nil, fmt.Errorf("%s[%q]: got null, want a string", key, name)
		}
		decoded[name] = *value
	}
	return decoded, nil
}

// lines are the elements of a list of strings.
func lines(key string, elements []*string) ([]string, error) {
	var decoded []string
	for i, element := range elements {
		if element == nil {
			return nil, fmt.Errorf("%s[%d]: got null, want a string", key, i)
		}
		decoded = append(decoded, *element)
	}
	return decoded, nil
}

// SettingsValidationResponse is a policy's answer to its settings.
type SettingsValidationResponse struct {
	// Valid says whether the policy can work with them.
	Valid bool
	// Message says why not; nil when the policy gave no reason.
	Message *string
}

// DecodeSettingsValidationResponse decodes what a guest answered to its settings.
func DecodeSettingsValidationResponse(document []byte) (SettingsValidationResponse, error) {
	var response SettingsValidationResponse
	var valid *bool
	if err := decodeObject(document, map[string]any{"valid": &valid, "message": &response.Message}); err != nil {
		return SettingsValidationResponse{}, err
	}
	if valid == nil {
		return SettingsValidationResponse{}, missing("valid", "true or false")
	}
	response.Valid = *valid
	return response, nil
}
