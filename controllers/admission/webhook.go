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

// SettingsChecker has the settings of a policy checked by its module: those that are new since
// before, which is nil for a policy that is created. Errors refuse the policy, warnings are
// for whoever writes it. *settingscheck.Checker is one.
type SettingsChecker interface {
	Check(ctx context.Context, before, after policiesv1.Policy) (field.ErrorList, []string)
}

// Handlers are the webhooks by the path of their URL. The paths are upstream's. Settings are
// checked where the rules are kept; with nil they are not.
func Handlers(scheme *runtime.Scheme, settings SettingsChecker) map[string]http.Handler {
	return map[string]http.Handler{
		urlPath("ClusterAdmissionPolicy"):      policyHandler[*policiesv1.ClusterAdmissionPolicy](scheme, "ClusterAdmissionPolicy", settings),
		urlPath("ClusterAdmissionPolicyGroup"): policyHandler[*policiesv1.ClusterAdmissionPolicyGroup](scheme, "ClusterAdmissionPolicyGroup", settings),
		urlPath("AdmissionPolicy"):             policyHandler[*policiesv1.AdmissionPolicy](scheme, "AdmissionPolicy", settings),
		urlPath("AdmissionPolicyGroup"):        policyHandler[*policiesv1.AdmissionPolicyGroup](scheme, "AdmissionPolicyGroup", settings),
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

func policyHandler[T policiesv1.Policy](scheme *runtime.Scheme, kind string, settings SettingsChecker) http.Handler {
	rules := &validator[T]{
		kind:   kind,
		create: func(policy T) field.ErrorList { return Policy(policy) },
		update: func(before, after T) field.ErrorList { return PolicyChange(before, after) },
	}
	if settings != nil {
		rules.checkNew = func(ctx context.Context, policy T) (field.ErrorList, []string) {
			return settings.Check(ctx, nil, policy)
		}
		rules.checkChange = func(ctx context.Context, before, after T) (field.ErrorList, []string) {
			return settings.Check(ctx, before, after)
		}
	}
	return admission.WithValidator[T](scheme, rules)
}

// validator asks the rules of one kind.
type validator[T client.Object] struct {
	kind   string
	create func(object T) field.ErrorList
	update func(before, after T) field.ErrorList
	// checkNew and checkChange are asked about what keeps the rules; nil for nothing.
	checkNew    func(ctx context.Context, object T) (field.ErrorList, []string)
	checkChange func(ctx context.Context, before, after T) (field.ErrorList, []string)
}

// ValidateCreate implements admission.Validator.
func (v *validator[T]) ValidateCreate(ctx context.Context, object T) (admission.Warnings, error) {
	failures, warnings := v.create(object), []string(nil)
	if len(failures) == 0 && v.checkNew != nil {
		failures, warnings = v.checkNew(ctx, object)
	}
	return warnings, v.refuse(object, failures)
}

// ValidateUpdate implements admission.Validator. An object that broke a rule before the rule
// was there keeps its labels and finalizers writable, and can be deleted: only a change of
// the spec is checked.
func (v *validator[T]) ValidateUpdate(ctx context.Context, before, after T) (admission.Warnings, error) {
	if before.GetGeneration() == after.GetGeneration() || !after.GetDeletionTimestamp().IsZero() {
		return nil, nil
	}
	failures, warnings := v.update(before, after), []string(nil)
	if len(failures) == 0 && v.checkChange != nil {
		failures, warnings = v.checkChange(ctx, before, after)
	}
	return warnings, v.refuse(after, failures)
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
