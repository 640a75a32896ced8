//go:build integration

package crd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const minimalPolicy = `
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: minimal}
spec:
  module: registry://registry.example/policy:v1
  mutating: false
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
`

func TestPolicyDefaults(t *testing.T) {
	policy := object(t, minimalPolicy)
	if err := k8s.Create(t.Context(), policy, client.DryRunAll); err != nil {
		t.Fatal(err)
	}

	got := policy.Object["spec"]

	want := object(t, minimalPolicy,
		with("spec.policyServer", "default"),
		with("spec.mode", "protect"),
		with("spec.backgroundAudit", "true"),
		with("spec.timeoutSeconds", "10"),
		with("spec.allowInsideAdmissionControllerNamespace", "false"),
	).Object["spec"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestPolicyIsTakenOrRefused(t *testing.T) {
	testCreations(t, minimalPolicy, map[string]creation{
		"minimal":           {},
		"no spec":           {edits: []edit{without("spec")}, wantError: "spec: Required value"},
		"no module":         {edits: []edit{without("spec.module")}, wantError: "spec.module: Required value"},
		"empty module":      {edits: []edit{with("spec.module", `""`)}, wantError: "spec.module: Invalid value"},
		"mutating left out": {edits: []edit{without("spec.mutating")}, wantError: "spec.mutating: Required value"},
		"unknown field":     {edits: []edit{with("spec.modul", "x")}, wantError: `unknown field "spec.modul"`},

		"empty policy server, which means default": {edits: []edit{with("spec.policyServer", `""`)}},
		"policy server that no object can be named": {
			edits: []edit{with("spec.policyServer", strings.Repeat("a", 254))}, wantError: "spec.policyServer: Too long",
		},
		"monitor mode":          {edits: []edit{with("spec.mode", "monitor")}},
		"unknown mode":          {edits: []edit{with("spec.mode", "audit")}, wantError: `spec.mode: Unsupported value: "audit"`},
		"ignoring failures":     {edits: []edit{with("spec.failurePolicy", "Ignore")}},
		"unknown failurePolicy": {edits: []edit{with("spec.failurePolicy", "ignore")}, wantError: `supported values: "Fail", "Ignore"`},
		"exact match":           {edits: []edit{with("spec.matchPolicy", "Exact")}},
		"unknown matchPolicy":   {edits: []edit{with("spec.matchPolicy", "Loose")}, wantError: `supported values: "Exact", "Equivalent"`},
		"dry run is safe":       {edits: []edit{with("spec.sideEffects", "NoneOnDryRun")}},
		"side effects that a webhook may not have": {
			edits: []edit{with("spec.sideEffects", "Some")}, wantError: `supported values: "None", "NoneOnDryRun"`,
		},

		"settings null":          {edits: []edit{with("spec.settings", "null")}},
		"settings a list":        {edits: []edit{with("spec.settings", "[a]")}, wantError: "spec.settings"},
		"context aware":          {edits: []edit{with("spec.contextAwareResources", "[{apiVersion: v1, kind: Namespace}]")}},
		"context without a kind": {edits: []edit{with("spec.contextAwareResources", "[{apiVersion: v1}]")}, wantError: "spec.contextAwareResources[0].kind: Required value"},
		"context, empty kind": {
			edits: []edit{with("spec.contextAwareResources", `[{apiVersion: v1, kind: ""}]`)}, wantError: "spec.contextAwareResources[0].kind: Invalid value",
		},
		"context, empty version": {
			edits: []edit{with("spec.contextAwareResources", `[{apiVersion: "", kind: Pod}]`)}, wantError: "spec.contextAwareResources[0].apiVersion: Invalid value",
		},
	})
}

func TestPolicyTimeouts(t *testing.T) {
	const tooLong = "spec.timeoutEvalSeconds: Invalid value: timeoutEvalSeconds cannot be greater than timeoutSeconds"
	testCreations(t, minimalPolicy, map[string]creation{
		"shortest":                    {edits: []edit{with("spec.timeoutSeconds", "2"), with("spec.timeoutEvalSeconds", "2")}},
		"longest":                     {edits: []edit{with("spec.timeoutSeconds", "30"), with("spec.timeoutEvalSeconds", "30")}},
		"webhook under 2 s":           {edits: []edit{with("spec.timeoutSeconds", "1")}, wantError: "spec.timeoutSeconds"},
		"webhook over 30 s":           {edits: []edit{with("spec.timeoutSeconds", "31")}, wantError: "spec.timeoutSeconds"},
		"evaluation under 2 s":        {edits: []edit{with("spec.timeoutEvalSeconds", "1")}, wantError: "spec.timeoutEvalSeconds"},
		"evaluation over 30 s":        {edits: []edit{with("spec.timeoutEvalSeconds", "31")}, wantError: "spec.timeoutEvalSeconds in body should be less than or equal to 30"},
		"evaluation, webhook's own":   {edits: []edit{with("spec.timeoutEvalSeconds", "10")}},
		"evaluation over webhook's":   {edits: []edit{with("spec.timeoutSeconds", "5"), with("spec.timeoutEvalSeconds", "6")}, wantError: tooLong},
		"evaluation over the default": {edits: []edit{with("spec.timeoutEvalSeconds", "11")}, wantError: tooLong},
	})
}

func TestPolicyRules(t *testing.T) {
	rule := func(fields string) []edit { return []edit{with("spec.rules", "[{"+fields+"}]")} }
	many := "[" + strings.Repeat(`{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]},`, 65) + "]"
	testCreations(t, minimalPolicy, map[string]creation{
		"everything":    {edits: rule(`apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"], scope: "*"`)},
		"subresource":   {edits: rule(`apiGroups: [""], apiVersions: [v1], resources: [pods/exec], operations: [CONNECT], scope: Namespaced`)},
		"no rules":      {edits: []edit{without("spec.rules")}, wantError: "spec.rules: Required value"},
		"empty rules":   {edits: []edit{with("spec.rules", "[]")}, wantError: "spec.rules: Invalid value"},
		"too many":      {edits: []edit{with("spec.rules", many)}, wantError: "spec.rules: Too many: 65: must have at most 64 items"},
		"no operations": {edits: rule(`apiGroups: [""], apiVersions: [v1], resources: [pods]`), wantError: "spec.rules[0].operations: Required value"},
		"unknown operation": {
			edits: rule(`apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [PATCH]`), wantError: `spec.rules[0].operations[0]: Unsupported value: "PATCH"`,
		},
		"no groups": {
			edits: rule(`apiVersions: [v1], resources: [pods], operations: [CREATE]`), wantError: "spec.rules[0].apiGroups: Required value",
		},
		"empty version": {
			edits: rule(`apiGroups: [""], apiVersions: [""], resources: [pods], operations: [CREATE]`), wantError: "spec.rules[0].apiVersions[0]: Invalid value",
		},
		"empty resource": {
			edits: rule(`apiGroups: [""], apiVersions: [v1], resources: [""], operations: [CREATE]`), wantError: "spec.rules[0].resources[0]: Invalid value",
		},
		"unknown scope": {
			edits: rule(`apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE], scope: Node`), wantError: "spec.rules[0].scope: Unsupported value",
		},
	})
}

// TestPolicyRuleBounds holds the bounds that keep rules in CEL over rules affordable.
func TestPolicyRuleBounds(t *testing.T) {
	cases := map[string]creation{}
	for _, list := range []string{"operations", "apiGroups", "apiVersions", "resources"} {
		rule := map[string]string{"operations": "[CREATE]", "apiGroups": "[apps]", "apiVersions": "[v1]", "resources": "[pods]"}
		replaced := func(value string) []edit {
			rule[list] = value
			return []edit{with("spec.rules", fmt.Sprintf("[{operations: %s, apiGroups: %s, apiVersions: %s, resources: %s}]",
				rule["operations"], rule["apiGroups"], rule["apiVersions"], rule["resources"]))}
		}
		cases["no "+list] = creation{edits: replaced("[]"), wantError: "spec.rules[0]." + list + ": Invalid value"}
		cases["64 "+list] = creation{edits: replaced("[" + strings.Repeat("CREATE,", 64) + "]")}
		cases["65 "+list] = creation{edits: replaced("[" + strings.Repeat("CREATE,", 65) + "]"), wantError: "spec.rules[0]." + list + ": Too many: 65"}
		if list != "operations" {
			cases["longest of "+list] = creation{edits: replaced("[" + strings.Repeat("a", 253) + "]")}
			cases["too long of "+list] = creation{edits: replaced("[" + strings.Repeat("a", 254) + "]"), wantError: "spec.rules[0]." + list + "[0]: Too long"}
		}
	}
	testCreations(t, minimalPolicy, cases)
}

func TestPolicyMatchConditions(t *testing.T) {
	conditions := func(list string) []edit { return []edit{with("spec.matchConditions", list)} }
	var many strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, `{name: c%d, expression: "true"},`, i)
	}
	testCreations(t, minimalPolicy, map[string]creation{
		"two":             {edits: conditions(`[{name: a, expression: "true"}, {name: example.com/b_C.d, expression: "request.operation == 'CREATE'"}]`)},
		"64":              {edits: conditions("[" + strings.ReplaceAll(many.String(), `{name: c64, expression: "true"},`, "") + "]")},
		"65":              {edits: conditions("[" + many.String() + "]"), wantError: "spec.matchConditions: Too many: 65"},
		"same name twice": {edits: conditions(`[{name: a, expression: "true"}, {name: a, expression: "false"}]`), wantError: `spec.matchConditions[1]: Duplicate value`},
		"no name":         {edits: conditions(`[{expression: "true"}]`), wantError: "spec.matchConditions[0].name: Required value"},
		"empty name":      {edits: conditions(`[{name: "", expression: "true"}]`), wantError: "spec.matchConditions[0].name: Invalid value"},
		"name of a domain that no object can have": {
			edits: conditions(`[{name: ` + strings.Repeat("a", 316) + `/b, expression: "true"}]`), wantError: "spec.matchConditions[0].name: Too long",
		},
		"name with a space":     {edits: conditions(`[{name: "a b", expression: "true"}]`), wantError: "spec.matchConditions[0].name: Invalid value"},
		"name of 64 characters": {edits: conditions(`[{name: ` + strings.Repeat("a", 64) + `, expression: "true"}]`), wantError: "spec.matchConditions[0].name: Invalid value"},
		"the name of the condition that keeps nobody out": {
			edits: conditions(`[{name: kubewarden.io-never-lock-out, expression: "true"}]`), wantError: "the name is taken",
		},
		"no expression":    {edits: conditions(`[{name: a}]`), wantError: "spec.matchConditions[0].expression: Required value"},
		"blank expression": {edits: conditions(`[{name: a, expression: "  "}]`), wantError: "spec.matchConditions[0].expression: Invalid value"},
	})
}

func TestPolicyName(t *testing.T) {
	longest := strings.Repeat("a", 225)
	testCreations(t, minimalPolicy, map[string]creation{
		"with a dot": {edits: []edit{with("metadata.name", "a.b")}},
		"longest":    {edits: []edit{with("metadata.name", longest)}},
		"longer than its webhook's may be": {
			edits:     []edit{with("metadata.name", longest+"a")},
			wantError: "metadata.name: the policy name combined with its namespace and kind produces an identity that is too long",
		},
	})
}

func TestPolicyChanges(t *testing.T) {
	testChanges(t, minimalPolicy, map[string]change{
		"monitor to protect": {before: []edit{with("spec.mode", "monitor")}, after: []edit{with("spec.mode", "protect")}},
		"protect to monitor": {
			after:     []edit{with("spec.mode", "monitor")},
			wantError: "field cannot transition from protect to monitor. Recreate instead.",
		},
		"protect to monitor by leaving it out": {
			before: []edit{with("spec.mode", "monitor")}, after: []edit{without("spec.mode")},
		},
		"another policy server": {
			after: []edit{with("spec.policyServer", "other")}, wantError: "spec.policyServer: Forbidden: the field is immutable",
		},
		"the default policy server by name":    {before: []edit{with("spec.policyServer", `""`)}, after: []edit{with("spec.policyServer", "default")}},
		"the default policy server by no name": {after: []edit{without("spec.policyServer")}},
		"a server's policy to the default":     {before: []edit{with("spec.policyServer", "other")}, after: []edit{without("spec.policyServer")}, wantError: "the field is immutable"},
		"settings, module and mutating": {after: []edit{
			with("spec.settings", "{a: {b: [1, two]}}"), with("spec.module", "https://registry.example/policy.wasm"), with("spec.mutating", "true"),
		}},
	})
}

func TestPolicySettingsAreKeptAsTheyAre(t *testing.T) {
	const settings = "{name: x, nested: {list: [1, two, {three: null}], empty: {}, on: 'off'}}"
	policy := create(t, object(t, minimalPolicy, with("spec.settings", settings)))

	got, _, err := unstructured.NestedFieldNoCopy(policy.Object, "spec", "settings")
	if err != nil {
		t.Fatal(err)
	}

	want := object(t, minimalPolicy, with("spec.settings", settings)).Object["spec"].(map[string]any)["settings"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestPolicyStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		status    string
		wantError string
	}{
		"unscheduled":   {status: "{policyStatus: unscheduled}"},
		"scheduled":     {status: "{policyStatus: scheduled, mode: unknown}"},
		"pending":       {status: "{policyStatus: pending, mode: monitor}"},
		"active":        {status: "{policyStatus: active, mode: protect, observedGeneration: 1, replicas: {ready: 2, enforcing: 1}, moduleDigest: 'sha256:0123'}"},
		"unknown state": {status: "{policyStatus: gone}", wantError: `status.policyStatus: Unsupported value: "gone"`},
		"unknown mode":  {status: "{policyStatus: active, mode: audit}", wantError: `status.mode: Unsupported value: "audit"`},
		"no state":      {status: "{mode: protect}", wantError: "status.policyStatus: Required value"},
		"two revisions": {status: "{policyStatus: active, served: [{revision: aa, replicas: 1}, {revision: bb, replicas: 1}]}"},
		"same revision twice": {
			status: "{policyStatus: active, served: [{revision: aa, replicas: 1}, {revision: aa, replicas: 1}]}", wantError: "status.served[1]: Duplicate value",
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := create(t, object(t, minimalPolicy))
			with("status", tc.status)(t, policy.Object)
			checkError(t, k8s.Status().Update(t.Context(), policy), tc.wantError)
		})
	}
}
