//go:build integration

package crd

import (
	"context"
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
				"certificates": map[string]any{"provider": "auto", "caDuration": "87600h", "duration": "8760h"},
				"audit": map[string]any{
					"enabled": true, "schedule": "0 * * * *", "reportKind": "policyreport", "logLevel": "info",
					"parallelNamespaces": int64(1), "parallelResources": int64(100), "parallelPolicies": int64(5), "pageSize": int64(100),
					"successfulJobsHistoryLimit": int64(3), "failedJobsHistoryLimit": int64(5),
					"operations": []any{"CREATE"}, "activeDeadlineSeconds": int64(43200), "startingDeadlineSeconds": int64(600),
				},
				"recommendedPolicies": map[string]any{"mode": "monitor", "registry": "ghcr.io"},
				"telemetry":           map[string]any{"metrics": true, "monitoring": map[string]any{"enabled": true}},
				"networkPolicies":     map[string]any{"enabled": true},
				"mutualTLS":           map[string]any{"mode": "Disabled"},
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
		"suspended":                 {edits: []edit{with("spec.enforcement", "Suspended")}},
		"unknown enforcement":       {edits: []edit{with("spec.enforcement", "Never")}, wantError: `spec.enforcement: Unsupported value: "Never"`},
		"certificates by name":      {edits: []edit{with("spec.certificates", "{provider: cert-manager}")}},
		"unknown provider":          {edits: []edit{with("spec.certificates", "{provider: vault}")}, wantError: `spec.certificates.provider: Unsupported value: "vault"`},
		"certificates of an issuer": {edits: []edit{with("spec.certificates", "{issuerRef: {name: vault, kind: ClusterIssuer}}")}},
		"an issuer without a name":  {edits: []edit{with("spec.certificates", "{issuerRef: {kind: ClusterIssuer}}")}, wantError: "spec.certificates.issuerRef.name: Required value"},
		"an issuer of built-in": {
			edits:     []edit{with("spec.certificates", "{provider: built-in, issuerRef: {name: vault}}")},
			wantError: "spec.certificates.issuerRef: Invalid value",
		},
		"short lives": {edits: []edit{with("spec.certificates", `{caDuration: 72h, duration: "1h30m", renewBefore: 5m}`)}},
		"a life that is no duration": {
			edits: []edit{with("spec.certificates", "{duration: a year}")}, wantError: "spec.certificates.duration: Invalid value",
		},
		"too short a life": {
			edits: []edit{with("spec.certificates", "{duration: 59m}")}, wantError: `spec.certificates.duration: Invalid value: "59m": allowed is from 1h to 87600h (10 years)`,
		},
		"an authority for a century": {
			edits: []edit{with("spec.certificates", "{caDuration: 876000h}")}, wantError: `spec.certificates.caDuration: Invalid value: "876000h": allowed is from 1h to 175200h (20 years)`,
		},
		"a life that is beyond reckoning": {
			edits: []edit{with("spec.certificates", "{caDuration: 99999999999999h}")}, wantError: "spec.certificates.caDuration",
		},
		"a pair outlasts its authority": {
			edits:     []edit{with("spec.certificates", "{caDuration: 24h, duration: 48h}")},
			wantError: "spec.certificates.duration: Invalid value: duration: 48h is longer than the life of the authority; allowed is at most caDuration, 24h",
		},
		"an issuer's pair may": {edits: []edit{with("spec.certificates", "{caDuration: 24h, duration: 48h, issuerRef: {name: vault}}")}},
		"renewed before it is issued": {
			edits:     []edit{with("spec.certificates", "{duration: 24h, renewBefore: 24h}")},
			wantError: "renewBefore: 24h is not before the certificate is issued; allowed is less than duration, 24h",
		},
		"renewed at the last moment": {
			edits: []edit{with("spec.certificates", "{renewBefore: 1m}")}, wantError: `spec.certificates.renewBefore: Invalid value: "1m": allowed is from 5m to less than duration`,
		},
		"keys of RSA":                   {edits: []edit{with("spec.certificates", "{privateKey: {algorithm: RSA}, caPrivateKey: {algorithm: RSA, size: 4096}}")}},
		"keys of a size":                {edits: []edit{with("spec.certificates", "{privateKey: {size: 384}}")}},
		"unknown key":                   {edits: []edit{with("spec.certificates", "{privateKey: {algorithm: DSA}}")}, wantError: `spec.certificates.privateKey.algorithm: Unsupported value: "DSA"`},
		"a size of others":              {edits: []edit{with("spec.certificates", "{caPrivateKey: {size: 2048}}")}, wantError: "size: allowed is 256, 384 or 521 for ECDSA, and 2048, 3072 or 4096 for RSA"},
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

// Certificates are demanded only of callers that have been watched.
func TestMutualTLSGoesByObserve(t *testing.T) {
	kubewarden := object(t, minimalKubewarden)
	if err := k8s.Create(t.Context(), kubewarden); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.Background(), kubewarden); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []struct{ mutualTLS, wantError string }{
		{"{mode: Observe}", "spec.mutualTLS.clientCAConfigMap: needed unless spec.mutualTLS.mode is Disabled"},
		{"{mode: Require, clientCAConfigMap: ca}", "spec.mutualTLS.mode: Require comes after Observe"},
		{"{clientCAConfigMap: ca}", ""},
		{"{mode: Require, clientCAConfigMap: ca}", "spec.mutualTLS.mode: Require comes after Observe"},
		{"{mode: Observe, clientCAConfigMap: ca}", ""},
		{"{mode: Require, clientCAConfigMap: ca}", ""},
		{"{mode: Observe, clientCAConfigMap: ca}", ""},
		{"{mode: Require, clientCAConfigMap: ca}", ""},
		{"{mode: Disabled}", ""},
	} {
		changed := object(t, minimalKubewarden, with("spec.mutualTLS", step.mutualTLS))
		changed.SetResourceVersion(kubewarden.GetResourceVersion())
		err := k8s.Update(t.Context(), changed)
		if step.wantError == "" && err != nil || step.wantError != "" && (err == nil || !strings.Contains(err.Error(), step.wantError)) {
			t.Errorf("%s: got %v, want %q", step.mutualTLS, err, step.wantError)
		}
		if err == nil {
			kubewarden = changed
		}
	}
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
