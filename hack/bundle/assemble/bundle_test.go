package assemble

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const sample = `
# A comment alone is no object.
---
apiVersion: operator.kubewarden.io/v1alpha1
kind: Kubewarden
metadata: {name: kubewarden}
spec: {enforcement: Enabled}
`

func newInput(t *testing.T) Input {
	t.Helper()
	rendered, err := os.ReadFile("testdata/rendered.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return Input{Objects: decode(t, string(rendered)), Samples: decode(t, sample), Release: Release{Version: "0.1.0"}}
}

func decode(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := Decode(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func makeBundle(t *testing.T, in Input) Files {
	t.Helper()
	files, err := Bundle(in)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// manifest decodes a manifest of a bundle and refuses fields that its kind lacks.
func manifest[T any](t *testing.T, files Files, name string) *T {
	t.Helper()
	content, found := files[filepath.Join(manifestsDir, name)]
	if !found {
		t.Fatalf("the bundle has no %s; it has %v", name, slices.Sorted(maps.Keys(files)))
	}
	object := new(T)
	if err := yaml.UnmarshalStrict(content, object); err != nil {
		t.Fatal(err)
	}
	return object
}

func csvOf(t *testing.T, files Files) *operatorsv1alpha1.ClusterServiceVersion {
	t.Helper()
	return manifest[operatorsv1alpha1.ClusterServiceVersion](t, files, "kubewarden-operator.clusterserviceversion.yaml")
}

func TestBundleHoldsWhatOLMInstallsAndNothingElse(t *testing.T) {
	want := []string{
		"Dockerfile",
		"manifests/kubewarden-operator.clusterserviceversion.yaml",
		"manifests/metrics_v1_service.yaml",
		"manifests/operator.kubewarden.io_kubewardens.yaml",
		"manifests/operator_rbac.authorization.k8s.io_v1_role.yaml",
		"manifests/operator_rbac.authorization.k8s.io_v1_rolebinding.yaml",
		"manifests/viewer_rbac.authorization.k8s.io_v1_clusterrole.yaml",
		"metadata/annotations.yaml",
		"tests/scorecard/config.yaml",
	}
	files := makeBundle(t, newInput(t))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for name, content := range files {
		for _, foreign := range []string{"cert-manager.io/inject", "creationTimestamp", "\nstatus:", "namespace: kubewarden\n"} {
			if strings.Contains(string(content), foreign) && !strings.HasSuffix(name, "clusterserviceversion.yaml") {
				t.Errorf("%s holds %q:\n%s", name, foreign, content)
			}
		}
	}
}

func TestSameInputMakesTheSameBytes(t *testing.T) {
	in := newInput(t)
	first, second := makeBundle(t, in), makeBundle(t, in)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the second bundle differs (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(newInput(t), in); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
}

func TestRightsInTheOperatorsNamespaceStayThere(t *testing.T) {
	files := makeBundle(t, newInput(t))
	strategy := csvOf(t, files).Spec.InstallStrategy.StrategySpec
	want := []operatorsv1alpha1.StrategyDeploymentPermissions{{
		ServiceAccountName: "operator",
		Rules:              []rbacv1.PolicyRule{{APIGroups: []string{"operator.kubewarden.io"}, Resources: []string{"kubewardens"}, Verbs: []string{"get"}}},
	}}
	if diff := cmp.Diff(want, strategy.ClusterPermissions); diff != "" {
		t.Errorf("rights everywhere (-want +got):\n%s", diff)
	}
	if len(strategy.Permissions) > 0 {
		t.Errorf("permissions that OLM would grant everywhere: %v", strategy.Permissions)
	}
	binding := manifest[rbacv1.RoleBinding](t, files, "operator_rbac.authorization.k8s.io_v1_rolebinding.yaml")
	wantSubjects := []rbacv1.Subject{
		{Kind: rbacv1.ServiceAccountKind, Name: "operator"},
		{Kind: rbacv1.ServiceAccountKind, Name: "stranger", Namespace: "elsewhere"},
	}
	if diff := cmp.Diff(wantSubjects, binding.Subjects); diff != "" || binding.Namespace != "" {
		t.Errorf("binding in namespace %q, subjects (-want +got):\n%s", binding.Namespace, diff)
	}
}

func TestWebhooksGetTheirCertificatesFromOLM(t *testing.T) {
	csv := csvOf(t, makeBundle(t, newInput(t)))
	pod := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec
	if len(pod.Volumes) != 1 || pod.Volumes[0].Name != "tmp" || len(pod.Containers[0].VolumeMounts) != 1 {
		t.Errorf("volumes %v, mounts %v; want tmp alone", pod.Volumes, pod.Containers[0].VolumeMounts)
	}
	if len(csv.Spec.WebhookDefinitions) != 1 {
		t.Fatalf("%d webhooks, want 1", len(csv.Spec.WebhookDefinitions))
	}
	webhook := csv.Spec.WebhookDefinitions[0]
	got := []string{webhook.GenerateName, string(webhook.Type), webhook.DeploymentName, *webhook.WebhookPath, webhook.TargetPort.String(), string(*webhook.FailurePolicy)}
	want := []string{"kubewarden.operator.kubewarden.io", "ValidatingAdmissionWebhook", "operator", "/validate", "9443", "Ignore"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("webhook (-want +got):\n%s", diff)
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	owned := csvOf(t, makeBundle(t, newInput(t))).Spec.CustomResourceDefinitions.Owned
	want := []operatorsv1alpha1.CRDDescription{{
		Name: "kubewardens.operator.kubewarden.io", Version: "v1alpha1", Kind: "Kubewarden", DisplayName: "Kubewarden",
		Description: "Kubewarden is an installation.",
		Resources:   resources["Kubewarden"],
		SpecDescriptors: []operatorsv1alpha1.SpecDescriptor{
			{Path: "auditScanner", DisplayName: "Audit Scanner", Description: "The scanner."},
			{Path: "enforcement", DisplayName: "Enforcement", Description: "Enforcement is a switch.", XDescriptors: []string{showOption + "Enabled", showOption + "Suspended"}},
		},
		StatusDescriptors: []operatorsv1alpha1.StatusDescriptor{
			{Path: "conditions", DisplayName: "Conditions", Description: "What is in force.", XDescriptors: []string{showConditions}},
		},
	}}
	if diff := cmp.Diff(want, owned); diff != "" {
		t.Errorf("owned kinds (-want +got):\n%s", diff)
	}
}

func TestReleaseNamesImageAndPredecessor(t *testing.T) {
	in := newInput(t)
	in.Release = Release{Version: "0.1.1", Image: "registry.example/operator:0.1.1", Replaces: "0.1.0"}
	csv := csvOf(t, makeBundle(t, in))
	container := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0]
	got := []string{csv.Name, csv.Spec.Replaces, csv.Annotations["olm.skipRange"], container.Image, container.Env[0].Value, csv.Spec.RelatedImages[0].Image, csv.Annotations["containerImage"]}
	image := in.Release.Image
	want := []string{"kubewarden-operator.v0.1.1", "kubewarden-operator.v0.1.0", ">=0.1.0 <0.1.1", image, image, image, image}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
}

func TestBundleRefuses(t *testing.T) {
	find := func(in Input, kind string) *unstructured.Unstructured {
		return in.Objects[slices.IndexFunc(in.Objects, func(object *unstructured.Unstructured) bool { return object.GetKind() == kind })]
	}
	set := func(t *testing.T, object *unstructured.Unstructured, value any, path ...string) {
		t.Helper()
		if err := unstructured.SetNestedField(object.Object, value, path...); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, in *Input)
		want   string
	}{
		"a version that is none": {func(_ *testing.T, in *Input) { in.Release.Version = "v1" }, `version "v1" is not a semantic version`},
		"a kind that OLM does not install": {func(t *testing.T, in *Input) {
			t.Helper()
			in.Objects = append(in.Objects, decode(t, "{apiVersion: batch/v1, kind: CronJob, metadata: {name: audit}}")...)
		}, "CronJob audit has no place in a bundle"},
		"a second Deployment": {func(_ *testing.T, in *Input) { in.Objects = append(in.Objects, find(*in, "Deployment")) }, "Deployments operator and operator"},
		"no Deployment":       {func(_ *testing.T, in *Input) { in.Objects = in.Objects[:1] }, "no Namespace or no Deployment"},
		"rights everywhere for a stranger": {func(t *testing.T, in *Input) {
			t.Helper()
			set(t, find(*in, "ClusterRoleBinding"), []any{map[string]any{"kind": "ServiceAccount", "name": "stranger", "namespace": "kubewarden"}}, "subjects")
		}, "ClusterRoleBinding operator names ServiceAccount stranger"},
		"a ClusterRole that is not there": {func(t *testing.T, in *Input) {
			t.Helper()
			set(t, find(*in, "ClusterRoleBinding"), "nobody", "roleRef", "name")
		}, "ClusterRole nobody is bound to the operator and was not rendered"},
		"a field that the kind lacks": {func(t *testing.T, in *Input) {
			t.Helper()
			set(t, find(*in, "Deployment"), "x", "spec", "replica")
		}, "replica"},
		"a kind without sample": {func(_ *testing.T, in *Input) { in.Samples = nil }, "kind Kubewarden has no sample"},
		"a kind that nobody described": {func(t *testing.T, in *Input) {
			t.Helper()
			set(t, find(*in, "CustomResourceDefinition"), "Stranger", "spec", "names", "kind")
		}, "kind Stranger has no list of the resources"},
		"conversion by webhook": {func(t *testing.T, in *Input) {
			t.Helper()
			set(t, find(*in, "CustomResourceDefinition"), "Webhook", "spec", "conversion", "strategy")
		}, "converts by webhook"},
		"a webhook whose Service is missing": {func(_ *testing.T, in *Input) {
			in.Objects = slices.DeleteFunc(in.Objects, func(object *unstructured.Unstructured) bool { return object.GetName() == "webhook" })
		}, "no Service webhook with port 443"},
	} {
		t.Run(name, func(t *testing.T) {
			in := newInput(t)
			tc.change(t, &in)
			if _, err := Bundle(in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Bundle = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":         "{",
		"a key twice":     "kind: Secret\nkind: Secret\n",
		"no kind":         "metadata: {name: nobody}",
		"no name":         "kind: Secret",
		"not an object":   "[1]",
		"a second of two": "kind: Secret\nmetadata: {name: one}\n---\nkind: Secret\n",
	} {
		if objects, err := Decode(strings.NewReader(text)); err == nil {
			t.Errorf("%s: decoded as %v, want an error", name, objects)
		}
	}
}

func TestWordsOfAName(t *testing.T) {
	for name, want := range map[string]string{
		"mode":                   "Mode",
		"policyServer":           "Policy Server",
		"ClusterAdmissionPolicy": "Cluster Admission Policy",
		"caBundle":               "Ca Bundle",
		"matchURLPattern":        "Match URL Pattern",
	} {
		if got := words(name); got != want {
			t.Errorf("words(%s) = %q, want %q", name, got, want)
		}
	}
}

func TestWriteLeavesNothingOfTheBundleBefore(t *testing.T) {
	dir := t.TempDir()
	if err := (Files{"manifests/old.yaml": []byte("old"), "metadata/kept.yaml": []byte("old")}).Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := (Files{"manifests/new.yaml": []byte("new"), "metadata/kept.yaml": []byte("new")}).Write(dir); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"manifests/old.yaml", "manifests/new.yaml", "metadata/kept.yaml"} {
		content, _ := os.ReadFile(filepath.Join(dir, name))
		got[name] = string(content)
	}
	want := map[string]string{"manifests/old.yaml": "", "manifests/new.yaml": "new", "metadata/kept.yaml": "new"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestTheScorecardIsInTheBundleWhereItWasRendered(t *testing.T) {
	const label = "operators.operatorframework.io.test.config.v1"
	in := newInput(t)
	with := makeBundle(t, in)
	in.Objects = slices.DeleteFunc(in.Objects, func(object *unstructured.Unstructured) bool { return object.GetKind() == "Configuration" })
	without := makeBundle(t, in)
	for _, name := range []string{"Dockerfile", "metadata/annotations.yaml"} {
		if !strings.Contains(string(with[name]), label) {
			t.Errorf("%s lacks %s:\n%s", name, label, with[name])
		}
		if strings.Contains(string(without[name]), "scorecard") {
			t.Errorf("%s of a bundle without a scorecard names one:\n%s", name, without[name])
		}
	}
}
