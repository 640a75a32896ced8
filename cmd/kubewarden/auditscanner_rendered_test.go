package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// TestAuditScannerTakesWhatIsRendered hands the arguments of the Job that the operator
// renders to the command that reads them.
func TestAuditScannerTakesWhatIsRendered(t *testing.T) {
	job := render.AuditJob(render.AuditScannerInput{
		Config:       render.Config{Namespace: "guarded", Image: "example.test/operator:v1"},
		Installation: render.Installation{Name: "kubewarden", ExemptNamespaces: []string{"kube-system"}},
		Audit: operatorv1alpha1.Audit{
			ReportKind: operatorv1alpha1.AuditReportKindOpenReports, SkipNamespaces: []string{"scratch"},
			Operations:   []operatorv1alpha1.AuditOperation{operatorv1alpha1.AuditOperationUpdate, operatorv1alpha1.AuditOperationDelete},
			DisableStore: true, OutputScan: true, LogLevel: "warning",
			ParallelNamespaces: 2, ParallelResources: 3, ParallelPolicies: 4, PageSize: 5,
		},
		CABundle: []byte("PEM"),
	}, "one")
	arguments := job.Spec.Template.Spec.Containers[0].Args
	command, rest, err := rootCommand().Find(arguments)
	if err != nil || command.Name() != "audit-scanner" {
		t.Fatalf("%v leads to command %v: %v", arguments, command, err)
	}
	if err := command.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kubewarden-namespace": "guarded", "loglevel": "warning", "ignore-namespaces": "[scratch]", "exempt-namespaces": "[kube-system]",
		"operations": "[DELETE,UPDATE]", "match-condition": "/pki/never-lock-out.cel",
		"parallel-namespaces": "2", "parallel-resources": "3", "parallel-policies": "4", "page-size": "5",
		"disable-store": "true", "output-scan": "true", "extra-ca": "/pki/ca.crt", "client-cert": "/client-cert/tls.crt", "client-key": "/client-cert/tls.key",
		"report-kind": "openreports", "summary-file": "/dev/termination-log",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = command.Flags().Lookup(name).Value.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if left := command.Flags().Args(); len(left) > 0 {
		t.Errorf("arguments %v are read by nobody", left)
	}
}
