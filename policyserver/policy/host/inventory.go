package host

import (
	"context"
	"errors"
)

// Form is how guests that cannot call the host look for objects in their data.
type Form string

// Forms of an Inventory.
const (
	// FormOPA has objects at <plural>.<namespace>.<name>, or at <plural>.<name>.
	FormOPA Form = "opa"
	// FormGatekeeper has them at cluster.<apiVersion>.<kind>.<name>, or at
	// namespace.<namespace>.<apiVersion>.<kind>.<name>.
	FormGatekeeper Form = "gatekeeper"
)

// Inventory is a Capability that has a document for guests that cannot call: all objects of
// the kinds that their policy was granted, as JSON.
type Inventory interface {
	Capability
	Inventory(ctx context.Context, request Request, form Form) ([]byte, error)
}

// The capability by which a document is granted is the same as to list everything.
const (
	namespaceKubernetes      = "kubernetes"
	operationListAll         = "list_resources_all"
	operationListByNamespace = "list_resources_by_namespace"
)

// Inventory passes the same gate as a call, and is counted as one. The document must not be
// changed. The text of an error is for the user of the policy.
func (s *Session) Inventory(ctx context.Context, form Form) ([]byte, error) {
	s.called, s.consulted = true, true
	const path = namespaceKubernetes + "/" + operationListAll
	return s.observed(path, func() ([]byte, error) {
		return s.traced(ctx, path, func(ctx context.Context) ([]byte, error) { return s.inventory(ctx, path, form) })
	})
}

func (s *Session) inventory(ctx context.Context, path string, form Form) ([]byte, error) {
	if err := s.admit(ctx, path); err != nil {
		return nil, err
	}
	capability, provides := s.dispatcher.capabilities[namespaceKubernetes].(Inventory)
	if !provides {
		return nil, errors.New("contextAwareResources are not provided here: " + notProvided(path).Error())
	}
	document, err := capability.Inventory(ctx, s.request(operationListAll, nil), form)
	return s.hand(ctx, path, document, err)
}
