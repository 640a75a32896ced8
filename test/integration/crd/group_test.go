//go:build integration

package crd

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const minimalGroup = `
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicyGroup
metadata: {name: minimal}
spec:
  expression: signed() || trusted()
  message: the image is neither signed nor trusted
  policies:
    signed: {module: registry://registry.example/signed:v1}
    trusted: {module: registry://registry.example/trusted:v1}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
`

const minimalNamespacedGroup = `
apiVersion: policies.kubewarden.io/v1
kind: AdmissionPolicyGroup
metadata: {name: minimal, namespace: default}
spec:
  expression: signed() || trusted()
  message: the image is neither signed nor trusted
  policies:
    signed: {module: registry://registry.example/signed:v1}
    trusted: {module: registry://registry.example/trusted:v1}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
`

// bothGroups are the kinds of groups.
var bothGroups = map[string]string{"cluster-wide": minimalGroup, "namespaced": minimalNamespacedGroup}

// testBothCreations asks the API server to create each object as either kind of group.
func testBothCreations(t *testing.T, cases map[string]creation) {
	t.Helper()
	for name, manifest := range bothGroups {
		t.Run(name, func(t *testing.T) { testCreations(t, manifest, cases) })
	}
}

func TestGroupDefaults(t *testing.T) {
	inside := with("spec.allowInsideAdmissionControllerNamespace", "false")
	for manifest, own := range map[string][]edit{minimalGroup: {inside}, minimalNamespacedGroup: nil} {
		group := object(t, manifest)
		if err := k8s.Create(t.Context(), group, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		want := object(t, manifest, append(own,
			with("spec.policyServer", "default"),
			with("spec.mode", "protect"),
			with("spec.backgroundAudit", "true"),
			with("spec.timeoutSeconds", "10"))...)
		if diff := cmp.Diff(want.Object["spec"], group.Object["spec"]); diff != "" {
			t.Errorf("spec (-want +got):\n%s", diff)
		}
	}
}

func TestGroupIsTakenOrRefused(t *testing.T) {
	testBothCreations(t, map[string]creation{
		"minimal":          {},
		"no expression":    {edits: []edit{without("spec.expression")}, wantError: "spec.expression: Required value"},
		"empty expression": {edits: []edit{with("spec.expression", `""`)}, wantError: "spec.expression: Invalid value"},
		"no message":       {edits: []edit{without("spec.message")}, wantError: "spec.message: Required value"},
		"empty message":    {edits: []edit{with("spec.message", `""`)}, wantError: "spec.message: Invalid value"},
		"no members":       {edits: []edit{without("spec.policies")}, wantError: "spec.policies: Required value"},
		"empty members": {
			edits: []edit{with("spec.policies", "{}")}, wantError: "spec.policies: Required value: policy groups must have at least one policy member",
		},
		"a member without a module": {edits: []edit{with("spec.policies.signed", "{}")}, wantError: "spec.policies.signed.module: Required value"},
		"a member with an empty module": {
			edits: []edit{with("spec.policies.signed.module", `""`)}, wantError: "spec.policies.signed.module: Invalid value",
		},
		"settings of a member": {edits: []edit{with("spec.policies.signed.settings", "{a: {b: [1, two]}}")}},
		"mutating":             {edits: []edit{with("spec.mutating", "true")}, wantError: `unknown field "spec.mutating"`},
		"a member that mutates": {
			edits: []edit{with("spec.policies.signed.mutating", "true")}, wantError: `unknown field "spec.policies.signed.mutating"`,
		},
	})
}

func TestGroupMemberNames(t *testing.T) {
	cases := map[string]creation{}
	for _, name := range []string{"a", "_", "_a1", "camelCase", "signed_by_2", "TRUE", "as_is"} {
		cases[name] = creation{edits: []edit{with("spec.policies", fmt.Sprintf("{%q: {module: m}}", name))}}
	}
	for _, name := range []string{
		"", "1a", "a-b", "a.b", "a b", "ä", "true", "false", "null", "in", "as", "break", "const", "continue",
		"else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
	} {
		cases["refused: "+name] = creation{
			edits:     []edit{with("spec.policies", fmt.Sprintf("{%q: {module: m}}", name))},
			wantError: "spec.policies: Invalid value: policy group member name is invalid",
		}
	}
	testBothCreations(t, cases)
}

func TestGroupTimeouts(t *testing.T) {
	const (
		tooLong = "timeoutEvalSeconds of a member cannot be greater than timeoutSeconds of the group"
		sum     = "the sum of timeoutEvalSeconds of all members cannot be greater than timeoutSeconds of the group"
	)
	timeouts := func(group, signed, trusted string) []edit {
		return []edit{
			with("spec.timeoutSeconds", group),
			with("spec.policies.signed.timeoutEvalSeconds", signed),
			with("spec.policies.trusted.timeoutEvalSeconds", trusted),
		}
	}
	testBothCreations(t, map[string]creation{
		"as long together as the group's": {edits: timeouts("10", "4", "6")},
		"longest":                         {edits: timeouts("30", "15", "15")},
		"longer together":                 {edits: timeouts("10", "5", "6"), wantError: sum},
		"one longer than the group's":     {edits: timeouts("5", "6", "2"), wantError: tooLong},
		"one set, the default group's":    {edits: []edit{with("spec.policies.signed.timeoutEvalSeconds", "10")}},
		"one over the default group's":    {edits: []edit{with("spec.policies.signed.timeoutEvalSeconds", "11")}, wantError: tooLong},
		"under 2 s":                       {edits: timeouts("10", "1", "2"), wantError: "spec.policies.signed.timeoutEvalSeconds"},
		"over 30 s":                       {edits: timeouts("30", "31", "2"), wantError: "spec.policies.signed.timeoutEvalSeconds"},
		"the group under 2 s":             {edits: []edit{with("spec.timeoutSeconds", "1")}, wantError: "spec.timeoutSeconds"},
	})
}

func TestGroupsOfTheirOwnScope(t *testing.T) {
	resources := with("spec.policies.signed.contextAwareResources", "[{apiVersion: v1, kind: Namespace}]")
	testCreations(t, minimalGroup, map[string]creation{
		"context aware":     {edits: []edit{resources}},
		"namespaceSelector": {edits: []edit{with("spec.namespaceSelector", "{matchLabels: {tier: production}}")}},
		"every group":       {edits: []edit{with("spec.rules", `[{apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"]}]`)}},
	})
	cases := namespacedRules()
	cases["context aware"] = creation{edits: []edit{resources}, wantError: "unknown field"}
	cases["namespaceSelector"] = creation{edits: []edit{with("spec.namespaceSelector", "{}")}, wantError: "unknown field"}
	testCreations(t, minimalNamespacedGroup, cases)
}

func TestGroupChanges(t *testing.T) {
	for name, manifest := range bothGroups {
		t.Run(name, func(t *testing.T) { testChanges(t, manifest, sharedChanges()) })
	}
}
