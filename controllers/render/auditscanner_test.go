package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func auditInput(mutators ...func(*render.AuditScannerInput)) render.AuditScannerInput {
	in := render.AuditScannerInput{
		Config:       config(),
		Installation: installation(),
		CABundle:     []byte("-----BEGIN CERTIFICATE-----\nnew\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nold\n-----END CERTIFICATE-----\n"),
	}
	for _, mutate := range mutators {
		mutate(&in)
	}
	return in
}

// everyAuditField sets every field of spec.audit.
func everyAuditField(in *render.AuditScannerInput) {
	in.Config.ImagePullSecrets = []string{"mirror-login"}
	in.Installation.ExemptNamespaces = []string{"kube-system", "istio-system"}
	in.Suspended = true
	in.Audit = operatorv1alpha1.Audit{
		Enabled:                    new(true),
		Schedule:                   "30 2 * * *",
		ReportKind:                 operatorv1alpha1.AuditReportKindOpenReports,
		SkipNamespaces:             []string{"scratch", "kube-system"},
		DisableStore:               true,
		OutputScan:                 true,
		LogLevel:                   "debug",
		ParallelNamespaces:         2,
		ParallelResources:          10,
		ParallelPolicies:           3,
		PageSize:                   500,
		ActiveDeadlineSeconds:      7200,
		StartingDeadlineSeconds:    300,
		SuccessfulJobsHistoryLimit: new(int32(0)),
		FailedJobsHistoryLimit:     new(int32(1)),
		ServiceAccountName:         "auditor",
		Limits:                     corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
		Requests:                   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		NodeSelector:               map[string]string{"example.com/pool": "tools"},
		Affinity:                   &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}},
		Tolerations:                []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}},
		PriorityClassName:          "low",
	}
}

func TestAuditScanner(t *testing.T) {
	tests := map[string]render.AuditScannerInput{
		"auditscanner-default": auditInput(),
		"auditscanner-full":    auditInput(everyAuditField),
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) { golden(t, name, render.AuditScanner(in)...) })
	}
}

func TestAuditScannerKindsAreComplete(t *testing.T) {
	kinds := map[schema.GroupVersionKind]bool{}
	for _, kind := range append(render.AuditScannerKinds(), render.AuditScannerClusterKinds()...) {
		kinds[kind] = true
	}
	for _, object := range render.AuditScanner(auditInput()) {
		if kind := object.GetObjectKind().GroupVersionKind(); !kinds[kind] {
			t.Errorf("%s is rendered and would never be pruned", kind)
		}
		for key, want := range render.AuditScannerLabels("kubewarden") {
			if got := object.GetLabels()[key]; got != want {
				t.Errorf("label %s of %T is %q, want %q", key, object, got, want)
			}
		}
	}
}

func TestAuditJobIsWhatTheCronJobStarts(t *testing.T) {
	in := auditInput(everyAuditField)
	objects := render.AuditScanner(in)
	cronJob, ok := objects[len(objects)-1].(*batchv1.CronJob)
	if !ok {
		t.Fatalf("the last object is %T", objects[len(objects)-1])
	}
	job := render.AuditJob(in, "audit-scanner-now-1")
	if diff := cmp.Diff(cronJob.Spec.JobTemplate.Spec, job.Spec); diff != "" {
		t.Errorf("unexpected spec (-template +got):\n%s", diff)
	}
	if diff := cmp.Diff(cronJob.Spec.JobTemplate.Labels, job.Labels); diff != "" {
		t.Errorf("unexpected labels (-template +got):\n%s", diff)
	}
}

func TestAuditResources(t *testing.T) {
	memory := func(quantity string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(quantity)}
	}
	tests := map[string]struct {
		audit            operatorv1alpha1.Audit
		limits, requests string
	}{
		"neither":       {operatorv1alpha1.Audit{}, "cpu 500m, memory 1Gi", "cpu 250m, memory 300Mi"},
		"limits alone":  {operatorv1alpha1.Audit{Limits: memory("100Mi")}, "memory 100Mi", ""},
		"requests too":  {operatorv1alpha1.Audit{Limits: memory("2Gi"), Requests: memory("1Gi")}, "memory 2Gi", "memory 1Gi"},
		"requests only": {operatorv1alpha1.Audit{Requests: memory("1Gi")}, "cpu 500m, memory 1Gi", "memory 1Gi"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			job := render.AuditJob(auditInput(func(in *render.AuditScannerInput) { in.Audit = tc.audit }), "one")
			got := job.Spec.Template.Spec.Containers[0].Resources
			if limits := words(got.Limits); limits != tc.limits {
				t.Errorf("limits are %q, want %q", limits, tc.limits)
			}
			if requests := words(got.Requests); requests != tc.requests {
				t.Errorf("requests are %q, want %q", requests, tc.requests)
			}
		})
	}
}

func words(list corev1.ResourceList) string {
	var parts []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if quantity, ok := list[name]; ok {
			parts = append(parts, string(name)+" "+quantity.String())
		}
	}
	return strings.Join(parts, ", ")
}
