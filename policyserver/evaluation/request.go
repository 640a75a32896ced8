package evaluation

import "encoding/json"

// Origin says who asks, and with that what becomes of the verdict.
type Origin string

const (
	// OriginValidate is an API server's admission request.
	OriginValidate Origin = "validate"
	// OriginAudit is a request of the audit scanner: it gets the policy's own verdict,
	// whatever the policy's mode.
	OriginAudit Origin = "audit"
	// OriginRaw is a request that is not about a Kubernetes object.
	OriginRaw Origin = "raw"
)

// Request is one request to be judged. It belongs to no policy: several may be asked
// about it.
type Request struct {
	// Origin says who asks.
	Origin Origin
	// Document is what a policy is asked about, one JSON value. It is passed on as it is.
	Document json.RawMessage
	// Object is what a mutated object is compared with, part of Document; nil when the
	// request carries none, as on DELETE.
	Object json.RawMessage
	// UID, Namespace, Name, Operation and Kind are the request's own words, for logs and
	// metrics; empty where it has none, as for the name of an object that is to get one.
	UID, Namespace, Name, Operation, Kind string
	// Subresource, ObjectKind and Resource are for traces. ObjectKind is the kind of the
	// object as a policy gets it; Kind is that of the object as its sender wrote it.
	Subresource          string
	ObjectKind, Resource GroupVersion
}

// GroupVersion is a kind or a resource of Kubernetes with its group and version.
type GroupVersion struct{ Group, Version, Name string }
