package admission

import (
	"context"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Handlers are the webhooks by the path of their URL. The paths are upstream's.
func Handlers(scheme *runtime.Scheme) map[string]http.Handler {
	return map[string]http.Handler{
		urlPath("ClusterAdmissionPolicy"):      policyHandler[*policiesv1.ClusterAdmissionPolicy](scheme, "ClusterAdmissionPolicy"),
		urlPath("ClusterAdmissionPolicyGroup"): policyHandler[*policiesv1.ClusterAdmissionPolicyGroup](scheme, "ClusterAdmissionPolicyGroup"),
		urlPath("AdmissionPolicy"):             policyHandler[*policiesv1.AdmissionPolicy](scheme, "AdmissionPolicy"),
		urlPath("AdmissionPolicyGroup"):        policyHandler[*policiesv1.AdmissionPolicyGroup](scheme, "AdmissionPolicyGroup"),
		urlPath("PolicyServer"): admission.WithValidator[*policiesv1.PolicyServer](scheme, &validator[*policiesv1.PolicyServer]{
			kind:   "PolicyServer",
			create: PolicyServer,
			update: func(_, after *policiesv1.PolicyServer) field.ErrorList { return PolicyServerChange(after) },
		}),
	}
}

func urlPath(kind string) string {
	return "/validate-policies-kubewarden-io-v1-" + strings.ToLower(kind)
}

func policyHandler[T policiesv1.Policy](scheme *runtime.Scheme, kind string) http.Handler {
	return admission.WithValidator[T](scheme, &validator[T]{
		kind:   kind,
		create: func(policy T) field.ErrorList { return Policy(policy) },
		update: func(before, after T) field.ErrorList { return PolicyChange(before, after) },
	})
}

// validator asks the rules of one kind.
type validator[T client.Object] struct {
	kind   string
	create func(object T) field.ErrorList
	update func(before, after T) field.ErrorList
}

// ValidateCreate implements admission.Validator.
func (v *validator[T]) ValidateCreate(_ context.Context, object T) (admission.Warnings, error) {
	return nil, v.refuse(object, v.create(object))
}

// ValidateUpdate implements admission.Validator. An object that broke a rule before the rule
// was there keeps its labels and finalizers writable, and can be deleted: only a change of
// the spec is checked.
func (v *validator[T]) ValidateUpdate(_ context.Context, before, after T) (admission.Warnings, error) {
	if before.GetGeneration() == after.GetGeneration() || !after.GetDeletionTimestamp().IsZero() {
		return nil, nil
	}
	return nil, v.refuse(after, v.update(before, after))
}

// ValidateDelete implements admission.Validator. Nothing stands against a deletion.
func (v *validator[T]) ValidateDelete(context.Context, T) (admission.Warnings, error) {
	return nil, nil
}

func (v *validator[T]) refuse(object T, failures field.ErrorList) error {
	if len(failures) == 0 {
		return nil
	}
	kind := schema.GroupKind{Group: policiesv1.GroupVersion.Group, Kind: v.kind}
	return apierrors.NewInvalid(kind, object.GetName(), failures)
}
