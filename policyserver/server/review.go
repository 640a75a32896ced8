package server

import (
	"encoding/json"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// requestFields are the members of an AdmissionReview's request that are read here, and
// which of them must be there. The object and what goes with it is passed on unseen, and
// so is a member that nobody here knows: a policy takes from its request what it knows.
type requestFields struct {
	uid, namespace, name, operation   string
	subresource                       string
	hasUID, hasOperation, hasUserInfo bool
	kind, resource, requestKind       groupVersion
	object                            json.RawMessage
}

// groupVersion is a kind or a resource, if there is one.
type groupVersion struct {
	evaluation.GroupVersion

	set bool
}

// decodeReview reads an AdmissionReview (admission.k8s.io/v1). The document that policies
// are asked about is its request, byte by byte. The error is a *syntaxError or a
// *shapeError.
func decodeReview(body []byte, origin evaluation.Origin) (evaluation.Request, error) {
	scan, err := newScanner(body)
	if err != nil {
		return evaluation.Request{}, err
	}
	var fields requestFields
	var document json.RawMessage
	err = scan.members(func(key string) error {
		switch key {
		case "kind", "apiVersion":
			_, err := scan.str()
			return err
		case "request":
			scan.peek()
			start := scan.at
			err := fields.read(scan)
			document = body[start:scan.at:scan.at]
			return err
		default:
			return scan.skip()
		}
	})
	if err == nil {
		err = scan.end()
	}
	if err == nil {
		err = fields.check(document)
	}
	if err != nil {
		return evaluation.Request{}, err
	}
	shown := fields.kind.Name
	if fields.requestKind.set {
		shown = fields.requestKind.Name
	}
	return evaluation.Request{
		Origin: origin, Document: document, Object: fields.object,
		UID: fields.uid, Namespace: fields.namespace, Name: fields.name, Operation: fields.operation, Kind: shown,
		Subresource: fields.subresource, ObjectKind: fields.kind.GroupVersion, Resource: fields.resource.GroupVersion,
	}, nil
}

func (f *requestFields) read(scan *scanner) error {
	return scan.members(func(key string) (err error) {
		switch key {
		case "uid":
			f.hasUID = scan.peek() == '"'
			f.uid, err = scan.str()
		case "operation":
			f.hasOperation = scan.peek() == '"'
			f.operation, err = scan.str()
		case "namespace":
			f.namespace, err = scan.str()
		case "name":
			f.name, err = scan.str()
		case "subResource":
			f.subresource, err = scan.str()
		case "requestSubResource":
			_, err = scan.str()
		case "kind":
			err = f.kind.read(scan, "kind")
		case "resource":
			err = f.resource.read(scan, "resource")
		case "requestKind":
			err = f.requestKind.read(scan, "kind")
		case "requestResource":
			err = new(groupVersion).read(scan, "resource")
		case "userInfo":
			f.hasUserInfo = scan.peek() == '{'
			err = scan.skip()
		case "dryRun":
			err = readBool(scan)
		case "object":
			f.object, err = scan.value()
		default:
			err = scan.skip()
		}
		if _, wrong := err.(*shapeError); wrong { //nolint:errorlint // set by this package, never wrapped
			err = &shapeError{"request." + key + ": " + err.Error()}
		}
		return err
	})
}

func (g *groupVersion) read(scan *scanner, last string) error {
	if scan.peek() == 'n' {
		return scan.literal("null")
	}
	g.set = true
	found := 0
	err := scan.members(func(key string) (err error) {
		switch key {
		case "group":
			g.Group, err = scan.str()
		case "version":
			g.Version, err = scan.str()
		case last:
			g.Name, err = scan.str()
		default:
			return scan.skip()
		}
		found++
		return err
	})
	if err == nil && found < 3 {
		return &shapeError{fmt.Sprintf("missing field, want group, version and %s", last)}
	}
	return err
}

func readBool(scan *scanner) error {
	switch scan.peek() {
	case 't', 'f', 'n':
		return scan.skip()
	default:
		return scan.want("a boolean")
	}
}

func (f *requestFields) check(document json.RawMessage) error {
	missing := ""
	switch {
	case document == nil:
		missing = "request"
	case !f.hasUID:
		missing = "request.uid"
	case !f.kind.set:
		missing = "request.kind"
	case !f.resource.set:
		missing = "request.resource"
	case !f.hasOperation:
		missing = "request.operation"
	case !f.hasUserInfo:
		missing = "request.userInfo"
	default:
		return nil
	}
	return &shapeError{fmt.Sprintf("missing field `%s`", missing)}
}

// decodeRaw reads {"request": <any JSON>}.
func decodeRaw(body []byte, origin evaluation.Origin) (evaluation.Request, error) {
	scan, err := newScanner(body)
	if err != nil {
		return evaluation.Request{}, err
	}
	request := evaluation.Request{Origin: origin}
	err = scan.members(func(key string) error {
		if key != "request" {
			return scan.skip()
		}
		value, err := scan.value()
		request.Document, request.Object = value, value
		return err
	})
	if err == nil {
		err = scan.end()
	}
	if err == nil && request.Document == nil {
		err = &shapeError{"missing field `request`"}
	}
	request.UID = rawUID(request.Document)
	return request, err
}

// rawUID is the member uid of a raw request, if there is one and it is a string.
func rawUID(document json.RawMessage) string {
	scan := &scanner{text: document}
	if scan.peek() != '{' {
		return ""
	}
	uid := ""
	// A key that stands twice ends the search: a raw request may be anything.
	_ = scan.members(func(key string) (err error) {
		if key == "uid" && scan.peek() == '"' {
			uid, err = scan.str()
			return err
		}
		return scan.skip()
	})
	return uid
}

// reviewWire is an answer as it is sent. The names and what is null rather than absent
// are upstream's.
type reviewWire struct {
	APIVersion string       `json:"apiVersion,omitempty"`
	Kind       string       `json:"kind,omitempty"`
	Response   responseWire `json:"response"`
}

type responseWire struct {
	UID              string             `json:"uid"`
	Allowed          bool               `json:"allowed"`
	PatchType        string             `json:"patchType,omitempty"`
	Patch            []byte             `json:"patch,omitempty"` // base64 on the wire
	Status           *evaluation.Status `json:"status,omitempty"`
	AuditAnnotations map[string]string  `json:"auditAnnotations"`
	Warnings         []string           `json:"warnings"`
}

// encodeReview writes an AdmissionReview, whatever version the request had.
func encodeReview(uid string, response evaluation.Response) ([]byte, error) {
	return json.Marshal(reviewWire{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview", Response: wire(uid, response)})
}

// encodeRaw writes the answer to a raw request.
func encodeRaw(uid string, response evaluation.Response) ([]byte, error) {
	return json.Marshal(reviewWire{Response: wire(uid, response)})
}

func wire(uid string, response evaluation.Response) responseWire {
	answer := responseWire{
		UID: uid, Allowed: response.Allowed, Status: response.Status,
		AuditAnnotations: response.AuditAnnotations, Warnings: response.Warnings,
	}
	if response.Patch != nil {
		answer.PatchType, answer.Patch = "JSONPatch", response.Patch
	}
	return answer
}
