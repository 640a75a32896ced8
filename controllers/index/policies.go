package index

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// PolicyServer is the field index of policies by the PolicyServer they are bound to.
const PolicyServer = ".spec.policyServer"

// PolicyKind is one kind of policy.
type PolicyKind struct {
	// Name is the kind's name, such as ClusterAdmissionPolicy.
	Name string
	// New makes an empty policy of the kind.
	New func() policiesv1.Policy
	// NewList makes an empty list of such.
	NewList func() client.ObjectList
}

// PolicyKinds are all kinds of policies. A further kind is a further item.
func PolicyKinds() []PolicyKind {
	return []PolicyKind{
		{
			Name:    "ClusterAdmissionPolicy",
			New:     func() policiesv1.Policy { return &policiesv1.ClusterAdmissionPolicy{} },
			NewList: func() client.ObjectList { return &policiesv1.ClusterAdmissionPolicyList{} },
		},
		{
			Name:    "ClusterAdmissionPolicyGroup",
			New:     func() policiesv1.Policy { return &policiesv1.ClusterAdmissionPolicyGroup{} },
			NewList: func() client.ObjectList { return &policiesv1.ClusterAdmissionPolicyGroupList{} },
		},
		{
			Name:    "AdmissionPolicy",
			New:     func() policiesv1.Policy { return &policiesv1.AdmissionPolicy{} },
			NewList: func() client.ObjectList { return &policiesv1.AdmissionPolicyList{} },
		},
		{
			Name:    "AdmissionPolicyGroup",
			New:     func() policiesv1.Policy { return &policiesv1.AdmissionPolicyGroup{} },
			NewList: func() client.ObjectList { return &policiesv1.AdmissionPolicyGroupList{} },
		},
	}
}

// Register adds the field index to the caches. It must be called before they start.
func Register(ctx context.Context, indexer client.FieldIndexer) error {
	for _, kind := range PolicyKinds() {
		err := indexer.IndexField(ctx, kind.New(), PolicyServer, func(object client.Object) []string {
			policy, ok := object.(policiesv1.Policy)
			if !ok {
				return nil
			}
			return []string{policy.GetPolicyServer()}
		})
		if err != nil {
			return fmt.Errorf("index %s by %s: %w", kind.Name, PolicyServer, err)
		}
	}
	return nil
}

// List lists the policies of one kind.
func (k PolicyKind) List(ctx context.Context, reader client.Reader, options ...client.ListOption) ([]policiesv1.Policy, error) {
	list := k.NewList()
	if err := reader.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("list %s: %w", k.Name, err)
	}
	var policies []policiesv1.Policy
	err := apimeta.EachListItem(list, func(item runtime.Object) error {
		if policy, ok := item.(policiesv1.Policy); ok {
			policies = append(policies, policy)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", k.Name, err)
	}
	return policies, nil
}

// BoundTo selects the policies of a PolicyServer.
func BoundTo(policyServer string) client.ListOption {
	return client.MatchingFields{PolicyServer: policyServer}
}

// Policies lists policies of all kinds, those of one kind together, by namespace and name.
func Policies(ctx context.Context, reader client.Reader, options ...client.ListOption) ([]policiesv1.Policy, error) {
	var all []policiesv1.Policy
	for _, kind := range PolicyKinds() {
		policies, err := kind.List(ctx, reader, options...)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(policies, func(a, b policiesv1.Policy) int {
			return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
		})
		all = append(all, policies...)
	}
	return all, nil
}
