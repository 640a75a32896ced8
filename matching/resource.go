package matching

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Resource is one version of a kind of objects, as an API server serves it.
type Resource struct {
	// GVR is the resource as it stands in URLs and in the rules of webhooks: in the plural.
	GVR schema.GroupVersionResource
	// Kind is the kind of the objects, in the singular.
	Kind string
	// Namespaced says that its objects live in namespaces.
	Namespaced bool
}

// GVK is the kind of the objects, in the version of the resource.
func (r Resource) GVK() schema.GroupVersionKind {
	return r.GVR.GroupVersion().WithKind(r.Kind)
}

// anyName stands for a name, or a namespace, where only its presence counts.
const anyName = "any"

// attributes are those of a request for an object of the resource about which nothing else
// is known.
func (r Resource) attributes(operation Operation) admission.Attributes {
	namespace := ""
	if r.Namespaced {
		namespace = anyName
	}
	return admission.NewAttributesRecord(nil, nil, r.GVK(), namespace, anyName, r.GVR, "", operation, nil, false, &user.DefaultInfo{})
}

// NeverCalled says whether API servers call no webhook at all about objects of the
// resource: the configurations of webhooks and admission policies themselves.
func NeverCalled(resource Resource) bool {
	return rules.IsExemptAdmissionConfigurationResource(resource.attributes(admission.Create))
}

// Covers says whether one of the rules matches an operation on objects of the resource,
// judging by the rule alone: by its operations, groups, versions, resources and scope.
func Covers(webhookRules []admissionregistrationv1.RuleWithOperations, operation Operation, resource Resource) bool {
	attributes := resource.attributes(operation)
	for i := range webhookRules {
		matcher := rules.Matcher{Rule: webhookRules[i], Attr: attributes}
		if matcher.Matches() {
			return true
		}
	}
	return false
}
