package host

import "context"

// Resource is a kind of Kubernetes object that a policy may read.
type Resource struct {
	APIVersion string
	Kind       string
}

// Grants are what one policy may ask of the host. The zero value grants nothing, and a
// Grants does not change once it is made.
type Grants struct {
	patterns  []string
	resources map[Resource]struct{}
}

// NewGrants checks the patterns (a policy's hostCapabilities) and joins them with the
// kinds that the policy may read (its contextAwareResources). The error names the pattern
// and what is allowed in its place.
func NewGrants(patterns []string, resources []Resource) (Grants, error) {
	grants := Grants{patterns: patterns, resources: make(map[Resource]struct{}, len(resources))}
	for _, resource := range resources {
		grants.resources[resource] = struct{}{}
	}
	return grants, nil
}

// AllowsResource says whether the policy may read objects of this kind.
func (g Grants) AllowsResource(resource Resource) bool {
	_, ok := g.resources[resource]
	return ok
}

// Request is one host call that passed the gate.
type Request struct {
	// PolicyID names the policy in logs.
	PolicyID string
	// Operation is what is asked of the capability's namespace: "v1/verify" in "oci".
	Operation string
	// Payload is the guest's input. It is valid until Call returns.
	Payload []byte
	// Grants are the policy's, for gates that need the payload.
	Grants Grants
}

// Capability serves the host calls of one namespace. Call answers with bytes for the
// guest or with an error whose text the guest sees. It must return when ctx is done, and
// it is called concurrently.
type Capability interface {
	Call(ctx context.Context, request Request) ([]byte, error)
}
