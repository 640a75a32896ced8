package guest

import (
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// Request is what a policy is asked about: an AdmissionRequest of Kubernetes, as far as
// our policies read it, and the policy's settings.
type Request struct {
	// Document is the whole request as it came. That of a policy of type raw is any JSON
	// value, and nothing else of it is set.
	Document document.Value
	// Kind is the kind of Object.
	Kind Kind
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation string
	// Object is the object as it would be stored; none for DELETE.
	Object document.Value
	// Settings are the policy's settings.
	Settings document.Value
	// Host is what Ask asks.
	Host Host

	room *room
}

// Kind names a kind of object.
type Kind struct {
	Group, Version, Kind string
}

// Policy is what the author of a policy writes.
type Policy struct {
	// Raw says that requests are of any form; without it they are AdmissionRequests.
	Raw bool
	// Validate gives the verdict. An error denies the request, too, as a failure of the
	// policy and not of the request.
	Validate func(Request) (Response, error)
	// ValidateSettings says what is wrong with settings; nil means nothing is.
	ValidateSettings func(settings document.Value) error
	// Example is what the policy prepares itself with, beside a plain Pod and no settings.
	Example Example
	// Host is what requests are judged with. The glue sets it, after Prepare.
	Host Host

	room *room // nil before Prepare
}

// Example is a question as users have it asked. The more of a policy it makes run, the less
// is left to do at each request.
type Example struct {
	// Request is a document, of a Pod where it is "".
	Request string
	// Settings are a document, without any where it is "".
	Settings string
}

// Answer answers one waPC call. Operations and documents are upstream's. The payload must not
// change before there is an answer; that of a prepared policy is good until the next call.
func (p Policy) Answer(operation string, payload []byte) ([]byte, error) {
	switch operation {
	case "validate":
		return p.validate(payload)
	case "validate_settings":
		return p.validateSettings(payload), nil
	case "protocol_version":
		return []byte(`"v1"`), nil
	default:
		return nil, fmt.Errorf("unknown operation %q", operation)
	}
}

// plain is what most policies look at.
var plain = Example{
	Request: `{"kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"labels":{"a":"b"}},` +
		`"spec":{"containers":[{"name":"a","image":"b","securityContext":{"privileged":false}}]}}}`,
	Settings: `{}`,
}

// room is memory for one question after the other, and more than most take.
type room struct {
	question       *document.Room
	object, answer []byte // empty, but with room
}

func newRoom() *room {
	const brackets, bytes = 2048, 64 << 10
	return &room{question: document.NewRoom(brackets), object: make([]byte, 0, bytes), answer: make([]byte, 0, bytes)}
}

// Prepare has the policy answer what nobody asked, and is the policy with room for questions.
// A policy server keeps the memory of a policy as it is before the first request, and begins
// with it each time: expressions that were compiled, and memory for what comes are in there
// then. What the policy answers does not matter, nor does it if an example is none of its. What
// Prepare gives answers one question at a time.
func (p Policy) Prepare() Policy {
	p.room = newRoom()
	own := p.Example
	if own.Request == "" {
		own.Request = plain.Request
	}
	if own.Settings == "" {
		own.Settings = plain.Settings
	}
	for _, example := range []Example{plain, own} {
		_, _ = p.validate(fmt.Appendf(nil, `{"request":%s,"settings":%s}`, example.Request, example.Settings))
		_ = p.validateSettings([]byte(example.Settings))
	}
	return p
}

// read looks over a question.
func (p Policy) read(payload []byte) (document.Value, error) {
	if p.room == nil {
		return document.Read(payload)
	}
	return p.room.question.Read(payload)
}

func (p Policy) validate(payload []byte) ([]byte, error) {
	request, err := p.decode(payload)
	if err != nil {
		return nil, fmt.Errorf("decode validation request: %w", err)
	}
	response, err := p.Validate(request)
	if err != nil {
		return nil, err
	}
	return response.encode(p.room), nil
}

// decode looks only for what is wanted: a policy begins anew with every request, and to decode
// a large object into types, or only to see that it is JSON to the last byte, costs it more
// than its verdict. The host has seen to that; here the payload has to be whole, and what a
// policy reads of it to be right. Of members of the same name the first counts; there is one only
// in what an API server sends.
func (p Policy) decode(payload []byte) (Request, error) {
	question, err := p.read(payload)
	if err != nil {
		return Request{}, err
	}
	values, err := question.Members("request", "settings")
	if err != nil {
		return Request{}, err
	}
	request := Request{Document: values[0], Settings: values[1], Host: p.Host, room: p.room}
	if !p.Raw {
		err = request.decode()
	}
	return request, err
}

// decode reads what an AdmissionRequest says.
func (r *Request) decode() error {
	values, err := r.Document.Members("kind", "operation", "object")
	if err != nil {
		return document.In(err, "request")
	}
	if r.Operation, err = values[1].Text(); err != nil {
		return document.In(err, "operation")
	}
	r.Object = values[2]
	if !values[0].Exists() {
		return nil
	}
	kind, err := values[0].TextsOf("group", "version", "kind")
	if err != nil {
		return document.In(err, "kind")
	}
	r.Kind = Kind{Group: kind[0], Version: kind[1], Kind: kind[2]}
	return nil
}

func (p Policy) validateSettings(payload []byte) []byte {
	settings, err := p.read(payload)
	if err != nil {
		err = fmt.Errorf("decode settings: %w", err)
	} else {
		err = p.ValidateSettings(settings)
	}
	if err != nil {
		return append(document.AppendText([]byte(`{"valid":false,"message":`), err.Error()), '}')
	}
	return []byte(`{"valid":true}`)
}
