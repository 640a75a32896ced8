//go:build integration

package crd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const minimalKubewarden = `
apiVersion: operator.kubewarden.io/v1alpha1
kind: Kubewarden
metadata: {name: kubewarden}
spec: {}
`

func TestKubewardenDefaults(t *testing.T) {
	for name, edits := range map[string][]edit{
		"empty spec":                  nil,
		"no spec":                     {without("spec")},
		"empty default policy server": {with("spec.defaultPolicyServer", "{}")},
	} {
		t.Run(name, func(t *testing.T) {
			kubewarden := object(t, minimalKubewarden, edits...)
			if err := k8s.Create(t.Context(), kubewarden, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"enforcement":  "Enabled",
				"certificates": map[string]any{"provider": "auto"},
				"audit": map[string]any{
					"enabled": true, "schedule": "0 * * * *", "reportKind": "policyreport", "logLevel": "info",
					"parallelNamespaces": int64(1), "parallelResources": int64(100), "parallelPolicies": int64(5), "pageSize": int64(100),
					"successfulJobsHistoryLimit": int64(3), "failedJobsHistoryLimit": int64(5),
				},
				"recommendedPolicies": map[string]any{"mode": "monitor", "registry": "ghcr.io"},
				"telemetry":           map[string]any{"metrics": true, "monitoring": map[string]any{"enabled": true}},
				"networkPolicies":     map[string]any{"enabled": true},
				"defaultPolicyServer": map[string]any{
					"enabled": true,
					"spec":    map[string]any{"replicas": int64(2)},
				},
			}
			if diff := cmp.Diff(want, kubewarden.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKubewardenIsTakenOrRefused(t *testing.T) {
	testCreations(t, minimalKubewarden, map[string]creation{
		"another name": {
			edits: []edit{with("metadata.name", "second")}, wantError: "metadata.name: a cluster has one Kubewarden, and its name is kubewarden",
		},
		"suspended":                     {edits: []edit{with("spec.enforcement", "Suspended")}},
		"unknown enforcement":           {edits: []edit{with("spec.enforcement", "Never")}, wantError: `spec.enforcement: Unsupported value: "Never"`},
		"certificates by name":          {edits: []edit{with("spec.certificates", "{provider: cert-manager}")}},
		"unknown provider":              {edits: []edit{with("spec.certificates", "{provider: vault}")}, wantError: `spec.certificates.provider: Unsupported value: "vault"`},
		"schedule of upstream":          {edits: []edit{with("spec.audit", `{schedule: "*/60 * * * *"}`)}},
		"schedule by word":              {edits: []edit{with("spec.audit", `{schedule: "@daily"}`)}},
		"schedule by interval":          {edits: []edit{with("spec.audit", `{schedule: "@every 1h30m"}`)}},
		"schedule of names":             {edits: []edit{with("spec.audit", `{schedule: "0 2 * * MON-FRI"}`)}},
		"schedule of four fields":       {edits: []edit{with("spec.audit", `{schedule: "0 * * *"}`)}, wantError: "spec.audit.schedule: Invalid value"},
		"schedule with a zone":          {edits: []edit{with("spec.audit", `{schedule: "TZ=UTC 0 * * * *"}`)}, wantError: "spec.audit.schedule: Invalid value"},
		"no word":                       {edits: []edit{with("spec.audit", `{schedule: "@noon"}`)}, wantError: "spec.audit.schedule: Invalid value"},
		"unknown kind of reports":       {edits: []edit{with("spec.audit", "{reportKind: sarif}")}, wantError: `spec.audit.reportKind: Unsupported value: "sarif"`},
		"nothing in parallel":           {edits: []edit{with("spec.audit", "{parallelPolicies: 0}")}, wantError: "spec.audit.parallelPolicies: Invalid value"},
		"skipped namespaces":            {edits: []edit{with("spec.audit", "{skipNamespaces: [scratch]}")}},
		"limits of audits":              {edits: []edit{with("spec.audit", "{limits: {memory: 2Gi}}")}},
		"limits that are no limits":     {edits: []edit{with("spec.audit", "{limits: {memory: lots}}")}, wantError: "spec.audit.limits.memory: Invalid value"},
		"registry with port and path":   {edits: []edit{with("spec.recommendedPolicies", `{registry: "mirror.example.com:5000/proxy/ghcr.io"}`)}},
		"registry with a scheme":        {edits: []edit{with("spec.recommendedPolicies", `{registry: "https://mirror.example.com"}`)}, wantError: "spec.recommendedPolicies.registry: Invalid value"},
		"registry that ends in a slash": {edits: []edit{with("spec.recommendedPolicies", `{registry: "ghcr.io/"}`)}, wantError: "spec.recommendedPolicies.registry: Invalid value"},
		"unknown mode":                  {edits: []edit{with("spec.recommendedPolicies", "{mode: warn}")}, wantError: `spec.recommendedPolicies.mode: Unsupported value: "warn"`},
		"exempt namespaces":             {edits: []edit{with("spec.exemptNamespaces", "[kube-system, team-a]")}},
		"exempt twice":                  {edits: []edit{with("spec.exemptNamespaces", "[a, a]")}, wantError: `spec.exemptNamespaces[1]: Duplicate value: "a"`},
		"exempt by pattern":             {edits: []edit{with("spec.exemptNamespaces", `["kube-*"]`)}, wantError: "spec.exemptNamespaces[0]: Invalid value"},
		"exempt, longest name":          {edits: []edit{with("spec.exemptNamespaces", "["+strings.Repeat("a", 63)+"]")}},
		"exempt, no namespace's name": {
			edits: []edit{with("spec.exemptNamespaces", "["+strings.Repeat("a", 64)+"]")}, wantError: "spec.exemptNamespaces[0]: Too long",
		},
		"exempt, 512":       {edits: []edit{with("spec.exemptNamespaces", namespaces(512))}},
		"exempt, 513":       {edits: []edit{with("spec.exemptNamespaces", namespaces(513))}, wantError: "spec.exemptNamespaces: Too many: 513"},
		"metrics for one":   {edits: []edit{with("spec.networkPolicies", "{metricsFrom: [{namespaceSelector: {matchLabels: {team: a}}}]}")}},
		"metrics for none":  {edits: []edit{with("spec.networkPolicies", "{metricsFrom: []}")}, wantError: "spec.networkPolicies.metricsFrom: Invalid value"},
		"egress to nowhere": {edits: []edit{with("spec.networkPolicies", "{egress: []}")}, wantError: "spec.networkPolicies.egress: Invalid value"},
		"no default server": {edits: []edit{with("spec.defaultPolicyServer", "{enabled: false}")}},
		"default server's rule": {
			edits:     []edit{with("spec.defaultPolicyServer", "{spec: {minAvailable: 1, maxUnavailable: 1}}")},
			wantError: "spec.defaultPolicyServer.spec: Invalid value: minAvailable and maxUnavailable cannot be both set",
		},
	})
}

func TestKubewardenStatus(t *testing.T) {
	kubewarden := create(t, object(t, minimalKubewarden))
	with("status", "{certificateProvider: cert-manager, neverLockOut: [nodes], observedGeneration: 1}")(t, kubewarden.Object)
	checkError(t, k8s.Status().Update(t.Context(), kubewarden), "")

	with("status.certificateProvider", "vault")(t, kubewarden.Object)
	checkError(t, k8s.Status().Update(t.Context(), kubewarden), `status.certificateProvider: Unsupported value: "vault"`)
}

// namespaces is a list of so many names.
func namespaces(count int) string {
	var list strings.Builder
	for i := range count {
		fmt.Fprintf(&list, "n%d,", i)
	}
	return "[" + list.String() + "]"
}
