package matching

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/object"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// parsed hands a selector that is parsed already to the API server's predicates.
type parsed struct{ selector labels.Selector }

var (
	_ namespace.NamespaceSelectorProvider = parsed{}
	_ object.ObjectSelectorProvider       = parsed{}
)

func (p parsed) GetParsedNamespaceSelector() (labels.Selector, error) { return p.selector, nil }

func (p parsed) GetParsedObjectSelector() (labels.Selector, error) { return p.selector, nil }

// inVersion is a request as if it had been made for an equivalent resource.
type inVersion struct {
	admission.Attributes
	resource Resource
}

func (v inVersion) GetResource() schema.GroupVersionResource { return v.resource.GVR }

// singleNamespace lists the one namespace that a request is about. The API server's
// predicate asks a lister, and an API server when the lister does not know a namespace;
// here a namespace that is not the request's is an error, so that none is asked.
type singleNamespace struct {
	corelisters.NamespaceLister
	name   string
	labels map[string]string
}

func (s singleNamespace) Get(name string) (*corev1.Namespace, error) {
	if name != s.name {
		return nil, fmt.Errorf("namespace %q is not that of the request, which is %q", name, s.name)
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: s.labels}}, nil
}

// nobodyMay grants nobody anything.
type nobodyMay struct{}

func (nobodyMay) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionNoOpinion, "no user makes this request", nil
}
