package oci

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/answers"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Namespace is the one that guests call.
const Namespace = "oci"

const (
	operationDigest   = "v1/manifest_digest"
	operationManifest = "v1/oci_manifest"
	operationImage    = "v1/oci_manifest_config"
	operationVerify1  = "v1/verify"
	operationVerify2  = "v2/verify"
)

// Registries are asked for what references name.
type Registries interface {
	Digest(ctx context.Context, reference string) (string, error)
	Manifest(ctx context.Context, reference string) (json.RawMessage, error)
	Image(ctx context.Context, reference string) (fetch.Image, error)
	Verify(ctx context.Context, reference string, demand fetch.Demand) (digest string, err error)
}

var _ Registries = (*fetch.Client)(nil)

// Config is what a Capability is made from.
type Config struct {
	// TTL is how long answers are kept; 0 asks each time.
	TTL time.Duration
	// Now is the clock that answers and certificates grow old by.
	Now func() time.Time
}

// Capability asks registries. It is safe for concurrent use.
type Capability struct {
	cache      *answers.Cache
	now        func() time.Time
	registries atomic.Pointer[Registries]
}

var _ host.Capability = (*Capability)(nil)

// New makes a capability that knows no registries yet.
func New(config Config) *Capability {
	return &Capability{now: config.Now, cache: answers.New(answers.Config{TTL: config.TTL, Now: config.Now})}
}

// Use has registries asked in another way from now on: what was answered before is forgotten.
func (c *Capability) Use(registries Registries) {
	c.registries.Store(&registries) // first: what is asked after the cache forgot is kept
	c.Forget()
}

// Forget has everything asked anew: somebody else is trusted.
func (c *Capability) Forget() { c.cache.Forget() }

// question is what one call asks.
type question struct {
	// key is all that the answer depends on, but for how registries are asked.
	key string
	ask func(ctx context.Context, registries Registries, now time.Time) (any, error)
}

// Call asks a registry for what the payload names. The error is the guest's own doing only
// where the payload cannot be read.
func (c *Capability) Call(ctx context.Context, request host.Request) ([]byte, error) {
	decode, known := operations[request.Operation]
	if !known {
		return nil, host.RefusalError("unknown operation: " + request.Operation)
	}
	asked, err := decode(request.Payload)
	if err != nil {
		return nil, host.RefusalError(err.Error())
	}
	return c.cache.Get(ctx, answers.Question{Key: request.Operation + " " + asked.key, Asker: request.PolicyID}, func(ctx context.Context) ([]byte, error) {
		registries := c.registries.Load()
		if registries == nil {
			return nil, errors.New("this policy server has not been told yet how to reach registries")
		}
		answer, err := asked.ask(ctx, *registries, c.now())
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	})
}

// operations read the payload of a call. An error is for the guest.
var operations = map[string]func(payload []byte) (question, error){
	operationDigest:   about(digestOf),
	operationManifest: about(manifestOf),
	operationImage:    about(imageOf),
	operationVerify1:  decodeVerify1,
	operationVerify2:  decodeVerify2,
}
