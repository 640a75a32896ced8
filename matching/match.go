package matching

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/object"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Operation is what a request does to an object.
type Operation = admission.Operation

// The operations on objects.
const (
	// Create makes an object.
	Create = admission.Create
	// Update changes it.
	Update = admission.Update
	// Delete removes it.
	Delete = admission.Delete
)

// User is somebody who makes requests.
type User = user.DefaultInfo

// AllUsers is the group of all users that an API server knows.
const AllUsers = user.AllAuthenticated

// Request is a request to an API server, as far as webhooks are matched against it.
type Request struct {
	// Resource is what the request is for.
	Resource Resource
	// Subresource is the part after the slash, such as scale.
	Subresource string
	// Equivalents are the other versions, also of other groups, in which the API server
	// serves the very same objects, in its order. They count for matchPolicy Equivalent.
	Equivalents []Resource
	// Operation is what the request does.
	Operation Operation
	// Name of the object.
	Name string
	// Namespace is that of the object. For a request about a namespace it is its name.
	Namespace string
	// NamespaceLabels are the labels of that namespace. They are not read for the creation
	// or change of a namespace, since the labels in Object count then.
	NamespaceLabels map[string]string
	// Object and OldObject are the object after and before, in the version of Resource;
	// nil where the operation has none. They need no more than their metadata for a Matcher
	// that does not read them (ReadsObject).
	Object, OldObject runtime.Object
	// Convert gives both in another version. It is called only when a rule matches one of
	// the Equivalents and a match condition reads the object; nil is an error then.
	Convert func(Resource) (object, oldObject runtime.Object, err error)
	// User makes the request; nil is a user without name and groups.
	User user.Info
	// Authorizer answers the checks of match conditions; nil grants nobody anything. What it
	// cannot answer counts as not granted, as in an API server, and makes no error of Match.
	Authorizer authorizer.UnconditionalAuthorizer
}

// Why says what kept a request from a webhook.
type Why string

// What can keep a request from a webhook, in the order in which the API server looks.
const (
	// WhyMatches: nothing did.
	WhyMatches Why = ""
	// WhyNamespaceSelector: the labels of the namespace are not selected.
	WhyNamespaceSelector Why = "namespaceSelector"
	// WhyObjectSelector: the labels of the object are not selected.
	WhyObjectSelector Why = "objectSelector"
	// WhyRules: no rule matches.
	WhyRules Why = "rules"
	// WhyMatchCondition: a match condition is false, or it failed and the failure policy
	// is Ignore.
	WhyMatchCondition Why = "matchCondition"
)

// Outcome says whether a webhook matches a request.
type Outcome struct {
	// Matches says that the API server would call the webhook.
	Matches bool
	// Why it would not.
	Why Why
	// Condition is the name of the match condition that is false, empty when one failed.
	Condition string
	// Resource is what the webhook is called about: the resource of the request, or the
	// equivalent that a rule matches.
	Resource Resource
}

// Match says whether the API server would call the webhook about a request. An error means
// that it would refuse the request without calling: a match condition failed and the
// failure policy is Fail, or the request lacks what matching needs.
func (m *Matcher) Match(ctx context.Context, request Request) (Outcome, error) {
	attributes := request.attributes()
	selected, err := m.selectsNamespace(request, attributes)
	if err != nil {
		return Outcome{}, err
	}
	if !selected {
		return Outcome{Why: WhyNamespaceSelector}, nil
	}
	if selected, err = m.selectsObject(attributes); err != nil {
		return Outcome{}, err
	}
	if !selected {
		return Outcome{Why: WhyObjectSelector}, nil
	}
	resource, matches := m.matchRules(request, attributes)
	if !matches {
		return Outcome{Why: WhyRules}, nil
	}
	return m.matchConditions(ctx, request, attributes, resource)
}

// SelectsNamespace says whether the namespace selector alone lets requests for namespaced
// objects pass in a namespace with these labels.
func (m *Matcher) SelectsNamespace(namespaceLabels map[string]string) bool {
	return m.namespace.Matches(labels.Set(namespaceLabels))
}

// Rules says as which resource the rules match the request's operation and resource, which
// is an equivalent one only when the match policy says so.
func (m *Matcher) Rules(request Request) (Resource, bool) {
	return m.matchRules(request, request.attributes())
}

func (m *Matcher) selectsNamespace(request Request, attributes admission.Attributes) (bool, error) {
	matcher := namespace.Matcher{NamespaceLister: singleNamespace{name: request.Namespace, labels: request.NamespaceLabels}}
	selected, statusErr := matcher.MatchNamespaceSelector(parsed{m.namespace}, attributes)
	if statusErr != nil {
		return false, fmt.Errorf("match namespaceSelector: %w", statusErr)
	}
	return selected, nil
}

func (m *Matcher) selectsObject(attributes admission.Attributes) (bool, error) {
	matcher := object.Matcher{}
	selected, statusErr := matcher.MatchObjectSelector(parsed{m.object}, attributes)
	if statusErr != nil {
		return false, fmt.Errorf("match objectSelector: %w", statusErr)
	}
	return selected, nil
}

// matchRules prefers the resource of the request to its equivalents, and earlier rules to
// later ones, as the API server does.
func (m *Matcher) matchRules(request Request, attributes admission.Attributes) (Resource, bool) {
	for i := range m.rules {
		matcher := rules.Matcher{Rule: m.rules[i], Attr: attributes}
		if matcher.Matches() {
			return request.Resource, true
		}
	}
	if !m.equivalent {
		return Resource{}, false
	}
	for i := range m.rules {
		for _, equivalent := range request.Equivalents {
			matcher := rules.Matcher{Rule: m.rules[i], Attr: inVersion{Attributes: attributes, resource: equivalent}}
			if matcher.Matches() {
				return equivalent, true
			}
		}
	}
	return Resource{}, false
}

func (m *Matcher) matchConditions(ctx context.Context, request Request, attributes admission.Attributes, resource Resource) (Outcome, error) {
	if m.conditions == nil {
		return Outcome{Matches: true, Resource: resource}, nil
	}
	versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: resource.GVK()}
	if m.readsObject {
		if err := request.show(versioned, resource); err != nil {
			return Outcome{}, err
		}
	}
	authorize := request.Authorizer
	if authorize == nil {
		authorize = nobodyMay{}
	}
	result := m.conditions.Match(ctx, versioned, nil, authorize)
	switch {
	case result.Error != nil:
		return Outcome{}, fmt.Errorf("evaluate match conditions: %w", result.Error)
	case !result.Matches:
		return Outcome{Why: WhyMatchCondition, Condition: result.FailedConditionName}, nil
	default:
		return Outcome{Matches: true, Resource: resource}, nil
	}
}

func (r Request) attributes() admission.Attributes {
	who := r.User
	if who == nil {
		who = &user.DefaultInfo{}
	}
	return admission.NewAttributesRecord(r.Object, r.OldObject, r.Resource.GVK(), r.Namespace, r.Name, r.Resource.GVR, r.Subresource, r.Operation, options(r.Operation), false, who)
}

// options are those of a plain request: match conditions may read their kind.
func options(operation Operation) runtime.Object {
	typeMeta := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: kind}
	}
	switch operation {
	case admission.Create:
		return &metav1.CreateOptions{TypeMeta: typeMeta("CreateOptions")}
	case admission.Update:
		return &metav1.UpdateOptions{TypeMeta: typeMeta("UpdateOptions")}
	case admission.Delete:
		return &metav1.DeleteOptions{TypeMeta: typeMeta("DeleteOptions")}
	default:
		return nil
	}
}

// show adds the objects, in the version that the rules matched.
func (r Request) show(versioned *admission.VersionedAttributes, resource Resource) error {
	current, old := r.Object, r.OldObject
	if resource != r.Resource {
		if r.Convert == nil {
			return fmt.Errorf("convert %s to %s: no conversion is known", r.Resource.GVR, resource.GVR)
		}
		var err error
		if current, old, err = r.Convert(resource); err != nil {
			return fmt.Errorf("convert %s to %s: %w", r.Resource.GVR, resource.GVR, err)
		}
	}
	if current != nil {
		versioned.VersionedObject = admission.NewLazyObject(current)
	}
	if old != nil {
		versioned.VersionedOldObject = admission.NewLazyObject(old)
	}
	return nil
}
