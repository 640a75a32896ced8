//go:build integration

package crd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const minimalNamespacedPolicy = `
apiVersion: policies.kubewarden.io/v1
kind: AdmissionPolicy
metadata: {name: minimal, namespace: default}
spec:
  module: registry://registry.example/policy:v1
  mutating: false
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
`

func TestNamespacedPolicyDefaults(t *testing.T) {
	policy := object(t, minimalNamespacedPolicy)
	if err := k8s.Create(t.Context(), policy, client.DryRunAll); err != nil {
		t.Fatal(err)
	}

	got := policy.Object["spec"]

	want := object(t, minimalNamespacedPolicy,
		with("spec.policyServer", "default"),
		with("spec.mode", "protect"),
		with("spec.backgroundAudit", "true"),
		with("spec.timeoutSeconds", "10"),
	).Object["spec"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// namespacedRules are what both namespaced kinds may and may not look at. A namespaced policy
// is written by a tenant, who must not be able to stop the reports of others.
func namespacedRules() map[string]creation {
	rule := func(fields string) []edit {
		return []edit{with("spec.rules", "[{apiVersions: ['*'], operations: [CREATE], "+fields+"}]")}
	}
	const (
		wildcard    = "apiGroups cannot use wildcards when using AdmissionPolicy or AdmissionPolicyGroup"
		reports     = "{APIGroup: wgpolicyk8s.io, Resource: policyreports} resources cannot be targeted"
		openreports = "{APIGroup: openreports.io, Resource: reports} resources cannot be targeted"
	)
	return map[string]creation{
		"every version":             {edits: rule(`apiGroups: [apps], resources: [deployments]`)},
		"every resource of a group": {edits: rule(`apiGroups: [apps], resources: ["*"]`)},
		"every group":               {edits: rule(`apiGroups: ["*"], resources: [pods]`), wantError: "spec.rules: Forbidden: " + wildcard},
		"every group among others":  {edits: rule(`apiGroups: [apps, "*"], resources: ["*"]`), wantError: wildcard},
		"reports":                   {edits: rule(`apiGroups: [wgpolicyk8s.io], resources: [policyreports]`), wantError: reports},
		"the status of reports":     {edits: rule(`apiGroups: [wgpolicyk8s.io], resources: [policyreports/status]`), wantError: reports},
		"reports by a wildcard":     {edits: rule(`apiGroups: [apps, wgpolicyk8s.io], resources: [deployments, "*/*"]`), wantError: reports},
		"open reports":              {edits: rule(`apiGroups: [openreports.io], resources: [reports]`), wantError: openreports},
		"open reports by a wildcard": {
			edits: rule(`apiGroups: [openreports.io], resources: ["*/status"]`), wantError: openreports,
		},
		"something that is called as reports are": {edits: rule(`apiGroups: [example.com], resources: [policyreports, reports]`)},
		"the second rule": {
			edits:     []edit{with("spec.rules", `[{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}, {apiGroups: ["*"], apiVersions: [v1], resources: [pods], operations: [CREATE]}]`)},
			wantError: wildcard,
		},
		"a name that no namespace has room for": {
			edits: []edit{with("metadata.name", strings.Repeat("a", 225))}, wantError: "produces an identity that is too long",
		},
	}
}

func TestNamespacedPolicyIsTakenOrRefused(t *testing.T) {
	cases := namespacedRules()
	cases["minimal"] = creation{}
	cases["no module"] = creation{edits: []edit{without("spec.module")}, wantError: "spec.module: Required value"}
	cases["evaluation over webhook's timeout"] = creation{
		edits: []edit{with("spec.timeoutEvalSeconds", "11")}, wantError: "timeoutEvalSeconds cannot be greater than timeoutSeconds",
	}
	for _, field := range []string{"namespaceSelector", "contextAwareResources", "allowInsideAdmissionControllerNamespace"} {
		cases["the cluster-wide field "+field] = creation{edits: []edit{with("spec."+field, "{}")}, wantError: "unknown field"}
	}
	testCreations(t, minimalNamespacedPolicy, cases)
}

func TestNamespacedPolicyChanges(t *testing.T) {
	testChanges(t, minimalNamespacedPolicy, sharedChanges())
}

// sharedChanges are rules that all kinds of policies share.
func sharedChanges() map[string]change {
	return map[string]change{
		"monitor to protect": {before: []edit{with("spec.mode", "monitor")}, after: []edit{with("spec.mode", "protect")}},
		"protect to monitor": {
			after:     []edit{with("spec.mode", "monitor")},
			wantError: "field cannot transition from protect to monitor. Recreate instead.",
		},
		"another policy server": {
			after: []edit{with("spec.policyServer", "other")}, wantError: "spec.policyServer: Forbidden: the field is immutable",
		},
	}
}
