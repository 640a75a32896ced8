package validate

import (
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/api/pkg/validation"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// committed is the project's bundle, which is what its users install.
const committed = "../../../bundle"

func TestTheProjectsBundleHasNoFindings(t *testing.T) {
	report, err := Bundle(committed)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) > 0 {
		t.Errorf("findings:\n%s", report)
	}
	if summary := report.String(); !strings.Contains(summary, "0 errors, 0 warnings") {
		t.Errorf("the report sums up %q", summary)
	}
}

func TestNoValidatorIsForgotten(t *testing.T) {
	const left = 1 // the one that calls docker
	if got, want := len(validators), len(validation.AllValidators)-left; got != want {
		t.Errorf("%d validators run, want %d", got, want)
	}
}

func TestBundleRefusesAFolderThatIsNone(t *testing.T) {
	if _, err := Bundle(t.TempDir()); err == nil || !strings.Contains(err.Error(), "read the bundle in ") {
		t.Errorf("Bundle = %v, want an error that names the folder", err)
	}
}

func TestRulesFind(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*input)
		want   string
	}{
		"a kind that OLM does not install": {func(in *input) { in.Objects[0].SetKind("Certificate") }, "OLM installs no such kind"},
		"a mode that OLM v1 lacks":         {func(in *input) { in.CSV.Spec.InstallModes[0].Supported = true }, "OwnNamespace is true, want false"},
		"a demand on another package":      {func(in *input) { in.metadata.Dependencies = []entry{{Type: "olm.gvk.required"}} }, "olm.gvk.required demands something"},
		"a kind of somebody else": {func(in *input) {
			in.CSV.Spec.CustomResourceDefinitions.Required = []operatorsv1alpha1.CRDDescription{{}}
		}, "required: 1 entries"},
		"an API service": {func(in *input) {
			in.CSV.Spec.APIServiceDefinitions.Owned = []operatorsv1alpha1.APIServiceDescription{{}}
		}, "OLM v1 installs no API services"},
		"an object with a namespace": {func(in *input) { in.Objects[0].SetNamespace("kubewarden") }, `metadata.namespace is "kubewarden"`},
		"a subject with a namespace": {func(in *input) {
			subjects := []any{map[string]any{"kind": "ServiceAccount", "name": "a", "namespace": "kubewarden"}}
			_ = unstructured.SetNestedSlice(ofKind(in, "RoleBinding").Object, subjects, "subjects")
		}, `the namespace of a subject is "kubewarden"`},
		"rights everywhere by manifest": {func(in *input) { ofKind(in, "RoleBinding").SetKind("ClusterRoleBinding") }, "a subject is an account, which needs a namespace"},
		"permissions": {func(in *input) {
			in.CSV.Spec.InstallStrategy.StrategySpec.Permissions = []operatorsv1alpha1.StrategyDeploymentPermissions{{}}
		}, "OLM would grant them in all namespaces"},
		"all rights":           {grant(rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"pods"}, Verbs: []string{"get"}}), "holds a *"},
		"more rights than one": {grant(rbacv1.PolicyRule{Resources: []string{"clusterroles"}, Verbs: []string{"escalate"}}), "escalate lets the operator grant"},
		"secrets everywhere":   {grant(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}), "secrets may be touched in the operator's own namespace only"},
		"a field without description": {func(in *input) {
			in.CSV.Spec.CustomResourceDefinitions.Owned[0].SpecDescriptors = nil
		}, "does not describe the field spec."},
		"no resources":                 {func(in *input) { in.CSV.Spec.CustomResourceDefinitions.Owned[0].Resources = nil }, "lists no resources"},
		"an image that mirrors lack":   {func(in *input) { in.CSV.Spec.RelatedImages = nil }, "spec.relatedImages lacks"},
		"an image without version":     {func(in *input) { in.CSV.Spec.RelatedImages[0].Image = "registry.example:5000/operator" }, "names no version"},
		"an image that moves":          {func(in *input) { in.CSV.Spec.RelatedImages[0].Image = "registry.example/operator:latest" }, "names no version"},
		"a webhook of no Deployment":   {webhooks(operatorsv1alpha1.WebhookDescription{GenerateName: "a"}), `deploymentName is ""`},
		"two webhooks of a name":       {webhooks(operatorsv1alpha1.WebhookDescription{GenerateName: "a"}, operatorsv1alpha1.WebhookDescription{GenerateName: "a"}), "the name is taken"},
		"a webhook for every group":    {webhooks(judging("*")), `covers the group "*"`},
		"a webhook for OLM":            {webhooks(judging("operators.coreos.com")), `covers the group "operators.coreos.com"`},
		"a webhook that guards others": {webhooks(judging("admissionregistration.k8s.io")), "covers webhook configurations"},
	} {
		t.Run(name, func(t *testing.T) {
			in := newInput(t)
			if before := found(in); len(before) > 0 {
				t.Fatalf("findings before the change: %v", before)
			}
			tc.change(in)
			after := found(in)
			if !slices.ContainsFunc(after, func(message string) bool { return strings.Contains(message, tc.want) }) {
				t.Errorf("found %q, want one with %q", after, tc.want)
			}
		})
	}
}

func newInput(t *testing.T) *input {
	t.Helper()
	bundle, err := manifests.GetBundleFromDir(committed)
	if err != nil {
		t.Fatal(err)
	}
	return &input{Bundle: bundle}
}

func found(in *input) (messages []string) {
	for _, rule := range rules {
		messages = append(messages, rule.check(in)...)
	}
	return messages
}

func ofKind(in *input, kind string) *unstructured.Unstructured {
	return in.Objects[slices.IndexFunc(in.Objects, func(object *unstructured.Unstructured) bool { return object.GetKind() == kind })]
}

func grant(rule rbacv1.PolicyRule) func(*input) {
	return func(in *input) {
		permissions := in.CSV.Spec.InstallStrategy.StrategySpec.ClusterPermissions
		permissions[0].Rules = append(permissions[0].Rules, rule)
	}
}

func webhooks(definitions ...operatorsv1alpha1.WebhookDescription) func(*input) {
	return func(in *input) { in.CSV.Spec.WebhookDefinitions = definitions }
}

func judging(group string) operatorsv1alpha1.WebhookDescription {
	return operatorsv1alpha1.WebhookDescription{
		GenerateName: "a",
		Rules:        []admissionregistrationv1.RuleWithOperations{{Rule: admissionregistrationv1.Rule{APIGroups: []string{group}}}},
	}
}

func TestAnAcceptanceExplainsOneWarningAndIsMissedWhenItDoesNot(t *testing.T) {
	acceptances := []acceptance{{rule: "object", message: "careful", reason: "we are"}}
	warning := Finding{Rule: "object", Severity: SeverityWarning, Message: "careful"}

	report := &Report{Findings: []Finding{warning}}
	report.accept(acceptances)
	if len(report.Findings) != 0 || len(report.Accepted) != 1 || report.Accepted[0].Reason != "we are" {
		t.Errorf("an explained warning: %+v", report)
	}
	report = &Report{Findings: []Finding{{Rule: "object", Severity: SeverityError, Message: "careful"}}}
	report.accept(acceptances)
	if len(report.Findings) != 2 {
		t.Errorf("an error was accepted, or the unused acceptance was not found: %+v", report)
	}
}
