//go:build integration

package crd

import (
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
		"suspended":            {edits: []edit{with("spec.enforcement", "Suspended")}},
		"unknown enforcement":  {edits: []edit{with("spec.enforcement", "Never")}, wantError: `spec.enforcement: Unsupported value: "Never"`},
		"certificates by name": {edits: []edit{with("spec.certificates", "{provider: cert-manager}")}},
		"unknown provider":     {edits: []edit{with("spec.certificates", "{provider: vault}")}, wantError: `spec.certificates.provider: Unsupported value: "vault"`},
		"exempt namespaces":    {edits: []edit{with("spec.exemptNamespaces", "[kube-system, team-a]")}},
		"exempt twice":         {edits: []edit{with("spec.exemptNamespaces", "[a, a]")}, wantError: `spec.exemptNamespaces[1]: Duplicate value: "a"`},
		"exempt by pattern":    {edits: []edit{with("spec.exemptNamespaces", `["kube-*"]`)}, wantError: "spec.exemptNamespaces[0]: Invalid value"},
		"no default server":    {edits: []edit{with("spec.defaultPolicyServer", "{enabled: false}")}},
		"default server's rule": {
			edits:     []edit{with("spec.defaultPolicyServer", "{spec: {minAvailable: 1, maxUnavailable: 1}}")},
			wantError: "spec.defaultPolicyServer.spec: Invalid value: minAvailable and maxUnavailable cannot be both set",
		},
	})
}
