package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
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
	// Host is what Ask asks.
	Host Host
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
	// Example is what the policy prepares itself with, beside a plain Pod and no settings.
	Example Example
	// Host is what requests are judged with. The glue sets it, after Prepare.
	Host Host
}

// Example is a question as users have it asked. The more of a policy it makes run, the less
// is left to do at each request.
type Example struct {
	// Request is a Pod where it is nil.
	Request json.RawMessage
	// Settings are none where they are nil.
	Settings json.RawMessage
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

// plain is what most policies look at.
var plain = Example{
	Request: json.RawMessage(`{"kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"labels":{"a":"b"}},` +
		`"spec":{"containers":[{"name":"a","image":"b","securityContext":{"privileged":false}}]}}}`),
	Settings: json.RawMessage(`{}`),
}

// exampleBytes are the lengths of questions that a policy is prepared for: Go's allocator
// gets memory for each size by itself.
var exampleBytes = []int{0, 1 << 10, 4 << 10, 16 << 10}

// Prepare has the policy answer what nobody asked. A policy server keeps the memory of a
// policy as it is before the first request, and begins with it each time: what decoders find
// out about types, expressions that were compiled, and memory for what comes are in there then.
// What the policy answers does not matter, nor does it if an example is none of its.
func (p Policy) Prepare() {
	own := p.Example
	if own.Request == nil {
		own.Request = plain.Request
	}
	if own.Settings == nil {
		own.Settings = plain.Settings
	}
	for _, example := range []Example{plain, own} {
		question := fmt.Appendf(nil, `{"request":%s,"settings":%s}`, example.Request, example.Settings)
		for _, length := range exampleBytes {
			_, _ = p.validate(append(question, bytes.Repeat([]byte(" "), max(0, length-len(question)))...))
		}
		_, _ = p.validateSettings(example.Settings)
	}
}

func (p Policy) validate(payload []byte) ([]byte, error) {
	request, err := decode(payload, p.Raw)
	if err != nil {
		return nil, fmt.Errorf("decode validation request: %w", err)
	}
	request.Host = p.Host
	response, err := p.Validate(request)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// decode looks only for what is wanted: a policy begins anew with every request, and to decode
// a large object into types, or only to see that it is JSON to the last byte, costs it more
// than its verdict. The host has seen to that; here the payload has to be whole, and what a
// policy decodes of it to be right. Each member is looked for once, with the others of its object. Of
// members of the same name the first counts; there is one only in what an API server sends.
func decode(payload []byte, isRaw bool) (Request, error) {
	if len(payload) == 0 || !isWhole(payload) {
		return Request{}, errEnds
	}
	values, err := members(string(payload), "request", "settings")
	if err != nil {
		return Request{}, err
	}
	request := Request{Document: raw(values[0]), Settings: raw(values[1])}
	if !isRaw {
		err = request.decode(values[0])
	}
	return request, err
}

// decode reads what an AdmissionRequest says.
func (r *Request) decode(document string) error {
	values, err := members(document, "kind", "operation", "object")
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if r.Operation, err = text("operation", values[1]); err != nil {
		return err
	}
	r.Object = raw(values[2])
	if values[0] == "" {
		return nil
	}
	names := []string{"group", "version", "kind"}
	kind, err := members(values[0], names...)
	if err != nil {
		return fmt.Errorf("kind: %w", err)
	}
	for i, value := range []*string{&r.Kind.Group, &r.Kind.Version, &r.Kind.Kind} {
		if *value, err = text(names[i], kind[i]); err != nil {
			return fmt.Errorf("kind: %w", err)
		}
	}
	return nil
}

// shownBytes is the most of a value that an error shows.
const shownBytes = 40

// shown is a JSON value as an error shows it.
func shown(value []byte) string {
	switch {
	case len(value) == 0:
		return "nothing"
	case len(value) > shownBytes:
		return string(bytes.ToValidUTF8(value[:shownBytes], nil)) + "..."
	default:
		return string(value)
	}
}

// Member is what stands at a path of names in an object, a part of it; nil when there is
// nothing or null. The object must be JSON, and names are letters and digits. What is no object
// on the way is an error.
func Member(object json.RawMessage, path ...string) (json.RawMessage, error) {
	for i, name := range path {
		if !bytes.HasPrefix(bytes.TrimSpace(object), []byte("{")) {
			return nil, fmt.Errorf("%sgot %s, want an object", strings.Join(append(path[:i:i], ""), ": "), shown(object))
		}
		member := gjson.GetBytes(object, name)
		if member.Type == gjson.Null {
			return nil, nil
		}
		object = object[member.Index : member.Index+len(member.Raw)]
	}
	return object, nil
}

// Text is the string at a path, as Member finds it, and whether there is one.
func Text(object json.RawMessage, path ...string) (text string, present bool, err error) {
	member, err := Member(object, path...)
	if err != nil || member == nil {
		return "", false, err
	}
	value := gjson.ParseBytes(member)
	if value.Type != gjson.String {
		return "", false, fmt.Errorf("%s: got %s, want a string", strings.Join(path, ": "), shown(member))
	}
	return value.Str, true, nil
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
	object := gjson.ParseBytes(settings)
	if !gjson.ValidBytes(settings) || !object.IsObject() {
		return errors.New("settings must be an object")
	}
	unknown := ""
	object.ForEach(func(name, _ gjson.Result) bool {
		if !slices.Contains(names, name.Str) {
			unknown = fmt.Sprintf("unknown setting %q, allowed are: %s", name.Str, strings.Join(names, ", "))
		}
		return unknown == ""
	})
	if unknown != "" {
		return errors.New(unknown)
	}
	err := json.Unmarshal(settings, into)
	if mistake := (*json.UnmarshalTypeError)(nil); errors.As(err, &mistake) {
		return fmt.Errorf("setting %q: got a JSON %s, want %s", mistake.Field, mistake.Value, jsonType(mistake.Type.Kind().String()))
	}
	if err != nil {
		return fmt.Errorf("decode settings: %w", err)
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
