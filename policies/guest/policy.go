package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Request is what a policy is asked about: an AdmissionRequest of Kubernetes, as far as
// our policies read it, and the policy's settings.
type Request struct {
	// Document is the whole request as it came. That of a policy of type raw is any JSON
	// value, and nothing else of it is set.
	Document json.RawMessage
	// Kind is the kind of Object.
	Kind Kind
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation string
	// Object is the object as it would be stored; nil for DELETE.
	Object json.RawMessage
	// Settings are the policy's settings.
	Settings json.RawMessage
}

// Kind names a kind of object.
type Kind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// Response is a policy's verdict.
type Response struct {
	Accepted bool   `json:"accepted"`
	Message  string `json:"message,omitempty"`
	// MutatedObject is the whole object as the policy wants it; nil wants no change.
	MutatedObject json.RawMessage `json:"mutated_object,omitempty"`
}

// Accept lets the request pass.
func Accept() Response { return Response{Accepted: true} }

// Mutate lets the request pass with the object changed.
func Mutate(object json.RawMessage) Response { return Response{Accepted: true, MutatedObject: object} }

// Reject refuses the request; the user sees the message.
func Reject(message string) Response { return Response{Message: message} }

// Policy is what the author of a policy writes.
type Policy struct {
	// Raw says that requests are of any form; without it they are AdmissionRequests.
	Raw bool
	// Validate gives the verdict. An error denies the request, too, as a failure of the
	// policy and not of the request.
	Validate func(Request) (Response, error)
	// ValidateSettings says what is wrong with settings; nil means nothing is.
	ValidateSettings func(settings json.RawMessage) error
}

// Answer answers one waPC call. Operations and documents are upstream's.
func (p Policy) Answer(operation string, payload []byte) ([]byte, error) {
	switch operation {
	case "validate":
		return p.validate(payload)
	case "validate_settings":
		return p.validateSettings(payload)
	case "protocol_version":
		return []byte(`"v1"`), nil
	default:
		return nil, fmt.Errorf("unknown operation %q", operation)
	}
}

func (p Policy) validate(payload []byte) ([]byte, error) {
	var document struct {
		Request  json.RawMessage `json:"request"`
		Settings json.RawMessage `json:"settings"`
	}
	if err := json.Unmarshal(payload, &document); err != nil {
		return nil, fmt.Errorf("decode validation request: %w", err)
	}
	request := Request{Document: document.Request, Settings: document.Settings}
	if !p.Raw {
		if err := request.decode(); err != nil {
			return nil, fmt.Errorf("decode validation request: %w", err)
		}
	}
	response, err := p.Validate(request)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// decode reads what an AdmissionRequest holds.
func (r *Request) decode() error {
	var request struct {
		Kind      Kind            `json:"kind"`
		Operation string          `json:"operation"`
		Object    json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(r.Document, &request); err != nil {
		return err
	}
	r.Kind, r.Operation = request.Kind, request.Operation
	if !bytes.Equal(request.Object, []byte("null")) {
		r.Object = request.Object
	}
	return nil
}

func (p Policy) validateSettings(payload []byte) ([]byte, error) {
	answer := struct {
		Valid   bool   `json:"valid"`
		Message string `json:"message,omitempty"`
	}{Valid: true}
	if err := p.ValidateSettings(payload); err != nil {
		answer.Valid, answer.Message = false, err.Error()
	}
	return json.Marshal(answer)
}

// DecodeSettings decodes settings into a struct and refuses what the struct does not
// have. The error names the setting and what is allowed in its place. No settings at all
// leave the struct as it is.
func DecodeSettings(settings json.RawMessage, into any, names ...string) error {
	if len(settings) == 0 || bytes.Equal(bytes.TrimSpace(settings), []byte("null")) {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(settings, &members); err != nil {
		return errors.New("settings must be an object")
	}
	for name := range members {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown setting %q, allowed are: %s", name, strings.Join(names, ", "))
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(settings))
	err := decoder.Decode(into)
	if mistake := (*json.UnmarshalTypeError)(nil); errors.As(err, &mistake) {
		return fmt.Errorf("setting %q: got a JSON %s, want %s", mistake.Field, mistake.Value, jsonType(mistake.Type.Kind().String()))
	}
	if err != nil {
		return fmt.Errorf("decode settings: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("settings must be one object")
	}
	return nil
}

// jsonType is what a Go kind is called in JSON.
func jsonType(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	case "map", "struct":
		return "an object"
	default:
		return "a " + kind
	}
}
