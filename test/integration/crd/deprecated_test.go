//go:build integration

package crd

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// v1alpha2 is the deprecated version of a manifest.
func v1alpha2() edit { return with("apiVersion", "policies.kubewarden.io/v1alpha2") }

// TestDeprecatedVersionIsNoWayAroundTheRules changes objects through v1alpha2.
func TestDeprecatedVersionIsNoWayAroundTheRules(t *testing.T) {
	for name, tc := range map[string]struct {
		manifest  string
		after     edit
		wantError string
	}{
		"protect to monitor": {minimalPolicy, with("spec.mode", "monitor"), "field cannot transition from protect to monitor. Recreate instead."},
		"protect to monitor, in a namespace": {
			minimalNamespacedPolicy, with("spec.mode", "monitor"), "field cannot transition from protect to monitor. Recreate instead.",
		},
		"another policy server":             {minimalPolicy, with("spec.policyServer", "other"), "the field is immutable"},
		"evaluation over webhook's timeout": {minimalPolicy, with("spec.timeoutEvalSeconds", "11"), "timeoutEvalSeconds cannot be greater"},
		"every group":                       {minimalNamespacedPolicy, with("spec.rules", `[{apiGroups: ["*"], apiVersions: [v1], resources: [pods], operations: [CREATE]}]`), "cannot use wildcards"},
		"one port for both":                 {minimalPolicyServer, with("spec.webhookPort", "8081"), "readinessProbePort must differ from webhookPort"},
		"what v1 takes":                     {minimalPolicy, with("spec.module", "registry://registry.example/policy:v2"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			existing := create(t, object(t, tc.manifest))
			old := object(t, tc.manifest, v1alpha2())
			if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(existing), old); err != nil {
				t.Fatal(err)
			}
			tc.after(t, old.Object)
			checkError(t, k8s.Update(t.Context(), old), tc.wantError)
		})
	}
	testCreations(t, minimalPolicyServer, map[string]creation{
		"a name that is taken": {edits: []edit{v1alpha2(), with("metadata.name", "a-replicas")}, wantError: "cannot end in -replicas"},
	})
}

// TestDeprecatedVersionLosesNothing writes an object through v1alpha2 that has fields which
// only v1 had when both were upstream's.
func TestDeprecatedVersionLosesNothing(t *testing.T) {
	existing := create(t, object(t, minimalPolicy,
		with("spec.matchConditions", "[{name: a, expression: 'true'}]"), with("spec.message", "refused"), with("spec.backgroundAudit", "false")))
	want := existing.DeepCopy().Object["spec"]
	old := object(t, minimalPolicy, v1alpha2())
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(existing), old); err != nil {
		t.Fatal(err)
	}
	with("metadata.labels", "{written: again}")(t, old.Object)
	if err := k8s.Update(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(existing), existing); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, existing.Object["spec"]); diff != "" {
		t.Errorf("spec (-before +after):\n%s", diff)
	}
}

// warnings collects what the API server warns of.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

func TestDeprecatedVersionWarns(t *testing.T) {
	for version, want := range map[string][]string{
		"policies.kubewarden.io/v1":       nil,
		"policies.kubewarden.io/v1alpha2": {"This version is deprecated. Please, consider using v1"},
	} {
		for _, manifest := range []string{minimalPolicy, minimalNamespacedPolicy, minimalPolicyServer} {
			got := &warnings{}
			config := rest.CopyConfig(restConfig)
			config.WarningHandlerWithContext = got
			warned, err := client.New(config, client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			policy := object(t, manifest, with("apiVersion", version))
			if err := warned.Create(t.Context(), policy, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, slices.Compact(got.texts)); diff != "" {
				t.Errorf("warnings of %s %s (-want +got):\n%s", policy.GetKind(), version, diff)
			}
		}
	}
}
