package access

import (
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Rule is what an account needs in all namespaces, as a ClusterRole says it.
type Rule struct {
	// Group is empty for the core group.
	Group, Resource string
	Verbs           []string
}

// ruleFor is the rule by which objects of a kind can be read. Those of reviews cannot be
// read: to declare one is to declare that the policy has one made, which can_i does. The
// error is one of apimeta.IsNoMatchError when the API server serves no such kind.
func ruleFor(mapper apimeta.RESTMapper, declared policiesv1.ContextAwareResource) (Rule, error) {
	groupVersion, err := schema.ParseGroupVersion(declared.APIVersion)
	if err != nil {
		// No kind is served under a version that is none.
		return Rule{}, &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: declared.Kind}, SearchedVersions: []string{declared.APIVersion}}
	}
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: groupVersion.Group, Kind: declared.Kind}, groupVersion.Version)
	if err != nil {
		return Rule{}, fmt.Errorf("find the resource of kind %s of %s: %w", declared.Kind, declared.APIVersion, err)
	}
	verbs := []string{"get", "list", "watch"}
	if groupVersion.Group == authorizationv1.GroupName {
		verbs = []string{"create"}
	}
	return Rule{Group: groupVersion.Group, Resource: mapping.Resource.Resource, Verbs: verbs}, nil
}
