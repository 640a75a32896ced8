//go:build integration

package crd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const ready = `conditions: [{type: Ready, status: "False", reason: InvalidSettings, message: m, lastTransitionTime: "2026-01-02T03:04:05Z"}]`

// TestColumns reads what kubectl get shows: those of upstream first and in its order, so
// that scripts that count columns go on working, then our own.
func TestColumns(t *testing.T) {
	for name, tc := range map[string]struct {
		manifest string
		edits    []edit
		status   string
		path     string
		// want is a column and its cell each; columns of kubectl get -o wide in brackets.
		want []string
	}{
		"ClusterAdmissionPolicy": {
			manifest: minimalPolicy,
			edits:    []edit{with("metadata.annotations", "{io.kubewarden.policy.severity: high, io.kubewarden.policy.category: PSP}")},
			status:   "{policyStatus: pending, mode: unknown, " + ready + "}",
			path:     "/apis/policies.kubewarden.io/v1/clusteradmissionpolicies/minimal",
			want: []string{
				"Name: minimal", "Policy Server: default", "Mutating: false", "BackgroundAudit: true", "Mode: protect",
				"Observed mode: unknown", "Status: pending", "Age: recent", "[Severity: high]", "[Category: PSP]",
				"Ready: False", "Reason: InvalidSettings",
			},
		},
		"AdmissionPolicy": {
			manifest: minimalNamespacedPolicy,
			status:   "{policyStatus: active, mode: protect, " + ready + "}",
			path:     "/apis/policies.kubewarden.io/v1/namespaces/default/admissionpolicies/minimal",
			want: []string{
				"Name: minimal", "Policy Server: default", "Mutating: false", "BackgroundAudit: true", "Mode: protect",
				"Observed mode: protect", "Status: active", "Age: recent", "[Severity: <nil>]", "[Category: <nil>]",
				"Ready: False", "Reason: InvalidSettings",
			},
		},
		"ClusterAdmissionPolicyGroup, which has a column that is always empty": {
			manifest: minimalGroup,
			status:   "{policyStatus: active, mode: protect, " + ready + "}",
			path:     "/apis/policies.kubewarden.io/v1/clusteradmissionpolicygroups/minimal",
			want: []string{
				"Name: minimal", "Policy Server: default", "Mutating: <nil>", "BackgroundAudit: true", "Mode: protect",
				"Observed mode: protect", "Status: active", "Age: recent", "[Severity: <nil>]", "[Category: <nil>]",
				"Ready: False", "Reason: InvalidSettings",
			},
		},
		"ClusterAdmissionPolicy, v1alpha2": {
			manifest: minimalPolicy,
			status:   "{policyStatus: active, mode: protect, " + ready + "}",
			path:     "/apis/policies.kubewarden.io/v1alpha2/clusteradmissionpolicies/minimal",
			want: []string{
				"Name: minimal", "Policy Server: default", "Mutating: false", "Mode: protect", "Observed mode: protect", "Status: active",
			},
		},
		"PolicyServer": {
			manifest: minimalPolicyServer,
			status:   "{image: 'registry.example/server:v1', " + ready + "}",
			path:     "/apis/policies.kubewarden.io/v1/policyservers/minimal",
			want: []string{
				"Name: minimal", "Replicas: 2", "Image: registry.example/server:v1", "Ready: False", "Reason: InvalidSettings", "Age: recent",
			},
		},
		"Kubewarden": {
			manifest: minimalKubewarden,
			status: "{policyServers: {total: 1, ready: 1}, policies: {total: 3, active: 2}, " +
				"rekeying: {step: 4, because: it is old, waitingFor: waiting for Pod a}, " + ready + "}",
			path: "/apis/operator.kubewarden.io/v1alpha1/kubewardens/kubewarden",
			want: []string{
				"Name: kubewarden", "Enforcement: Enabled", "Ready: False", "Reason: InvalidSettings",
				"Policy Servers: 1", "Policies: 3", "Active: 2", "Last Audit: <nil>",
				"[Rekeying: 4]", "[Waiting For: waiting for Pod a]", "Age: recent",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			existing := create(t, object(t, tc.manifest, tc.edits...))
			with("status", tc.status)(t, existing.Object)
			if err := k8s.Status().Update(t.Context(), existing); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, columns(t, tc.path)); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}

// columns asks for the one object at a path as kubectl get does.
func columns(t *testing.T, path string) []string {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(restConfig)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(restConfig.Host, "/")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	table := metav1.Table{}
	if err := json.NewDecoder(response.Body).Decode(&table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("got %d rows (status %s), want one: %v", len(table.Rows), response.Status, err)
	}
	out := make([]string, 0, len(table.ColumnDefinitions))
	for i, column := range table.ColumnDefinitions {
		cell := fmt.Sprintf("%s: %v", column.Name, table.Rows[0].Cells[i])
		if column.Priority > 0 {
			cell = "[" + cell + "]"
		}
		if column.Name == "Age" {
			cell = "Age: " + ageRange(table.Rows[0].Cells[i])
		}
		out = append(out, cell)
	}
	return out
}

// ageRange is "recent" for an object that a test has just made.
func ageRange(cell any) string {
	age, err := time.ParseDuration(fmt.Sprint(cell))
	if err != nil || age > time.Minute {
		return fmt.Sprint(cell)
	}
	return "recent"
}
