//go:build integration

package crd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const minimalPolicyServer = `
apiVersion: policies.kubewarden.io/v1
kind: PolicyServer
metadata: {name: minimal}
spec: {}
`

func TestPolicyServerDefaults(t *testing.T) {
	for name, edits := range map[string][]edit{
		"empty spec": nil,
		"no spec":    {without("spec")},
	} {
		t.Run(name, func(t *testing.T) {
			server := object(t, minimalPolicyServer, edits...)
			if err := k8s.Create(t.Context(), server, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"replicas": int64(2)}
			if diff := cmp.Diff(want, server.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyServerIsTakenOrRefused(t *testing.T) {
	const samePort = "spec.readinessProbePort: Invalid value: readinessProbePort must differ from webhookPort"
	testCreations(t, minimalPolicyServer, map[string]creation{
		"no replicas":       {edits: []edit{with("spec.replicas", "0")}},
		"negative replicas": {edits: []edit{with("spec.replicas", "-1")}, wantError: "spec.replicas"},

		"minAvailable, a number":       {edits: []edit{with("spec.minAvailable", "1")}},
		"maxUnavailable, a percentage": {edits: []edit{with("spec.maxUnavailable", "50%")}},
		"minAvailable and maxUnavailable": {
			edits:     []edit{with("spec.minAvailable", "1"), with("spec.maxUnavailable", "1")},
			wantError: "spec: Invalid value: minAvailable and maxUnavailable cannot be both set",
		},

		"metrics on 443":                 {edits: []edit{with("spec.metricsPort", "443")}, wantError: "spec.metricsPort: Invalid value: 443: metricsPort must differ"},
		"ports swapped":                  {edits: []edit{with("spec.webhookPort", "8081"), with("spec.readinessProbePort", "8443")}},
		"one port for both":              {edits: []edit{with("spec.webhookPort", "9000"), with("spec.readinessProbePort", "9000")}, wantError: samePort},
		"readiness on webhook's default": {edits: []edit{with("spec.readinessProbePort", "8443")}, wantError: samePort},
		"webhook on readiness' default":  {edits: []edit{with("spec.webhookPort", "8081")}, wantError: samePort},

		"capabilities":  {edits: []edit{with("spec.namespacedPoliciesCapabilities", `["*", oci/*, oci/v1/verify, net/v1/*, kubernetes/can_i]`)}},
		"no capability": {edits: []edit{with("spec.namespacedPoliciesCapabilities", "[]")}},
		"a family without a star": {
			edits: []edit{with("spec.namespacedPoliciesCapabilities", "[oci]")}, wantError: `spec.namespacedPoliciesCapabilities[0]: Unsupported value: "oci"`,
		},
		"unknown capability": {
			edits: []edit{with("spec.namespacedPoliciesCapabilities", `["*", net/v1/connect]`)}, wantError: `spec.namespacedPoliciesCapabilities[1]: Unsupported value: "net/v1/connect"`,
		},
		"limits":                    {edits: []edit{with("spec.limits", "{cpu: 500m, memory: 1Gi}"), with("spec.requests", "{cpu: 1}")}},
		"limit that is no quantity": {edits: []edit{with("spec.limits", "{cpu: much}")}, wantError: "spec.limits.cpu"},
	})
}

func TestPolicyServerPorts(t *testing.T) {
	cases := map[string]creation{}
	for _, port := range []string{"webhookPort", "readinessProbePort", "metricsPort"} {
		cases[port+" 1"] = creation{edits: []edit{with("spec."+port, "1")}}
		cases[port+" 65535"] = creation{edits: []edit{with("spec."+port, "65535")}}
		cases[port+" 0"] = creation{edits: []edit{with("spec."+port, "0")}, wantError: port + " in body should be greater than or equal to 1"}
		cases[port+" 65536"] = creation{edits: []edit{with("spec."+port, "65536")}, wantError: port + " in body should be less than or equal to 65535"}
	}
	testCreations(t, minimalPolicyServer, cases)
}

func TestPolicyServerNamesAreLimited(t *testing.T) {
	longest := strings.Repeat("a", 49)
	testCreations(t, minimalPolicyServer, map[string]creation{
		"longest": {edits: []edit{with("metadata.name", longest)}},
		"longer than its Service's may be": {
			edits: []edit{with("metadata.name", longest+"a")}, wantError: "metadata.name: the PolicyServer name cannot be longer than 49 characters",
		},
		"with a dot": {
			edits: []edit{with("metadata.name", "a.b")}, wantError: "metadata.name: the PolicyServer name cannot contain a dot",
		},
		"the name of another server's reports": {
			edits: []edit{with("metadata.name", "a-replicas")}, wantError: "metadata.name: the PolicyServer name cannot end in -replicas or -issued",
		},
		"the name of another server's certificate": {
			edits: []edit{with("metadata.name", "a-issued")}, wantError: "choose another ending",
		},
		"a name that looks similar": {edits: []edit{with("metadata.name", "replicas-issued-a")}},
	})
}

func TestPolicyServerChanges(t *testing.T) {
	testChanges(t, minimalPolicyServer, map[string]change{
		"image by the user, then the operator's": {before: []edit{with("spec.image", "registry.example/server:v1")}, after: []edit{without("spec.image")}},
		"scaled to zero":                         {after: []edit{with("spec.replicas", "0")}},
		"minAvailable beside maxUnavailable": {
			before: []edit{with("spec.maxUnavailable", "1")}, after: []edit{with("spec.minAvailable", "1")}, wantError: "minAvailable and maxUnavailable cannot be both set",
		},
	})
}
