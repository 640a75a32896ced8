//go:build integration

package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/config/crd/reports"
)

func auditCronJob() *batchv1.CronJob { return named(&batchv1.CronJob{}, "audit-scanner") }

func clusterRoleBinding(name string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func definition(name string) *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// auditChildren are all children of the audit scanner, empty.
func auditChildren() []client.Object {
	return []client.Object{
		auditCronJob(),
		named(&corev1.ConfigMap{}, "audit-scanner-ca"),
		named(&corev1.ServiceAccount{}, "audit-scanner"),
		named(&rbacv1.Role{}, "audit-scanner"),
		named(&rbacv1.RoleBinding{}, "audit-scanner"),
		clusterRoleBinding("kubewarden-audit-scanner"),
		clusterRoleBinding("kubewarden-audit-scanner-view"),
	}
}

func scheduled(status metav1.ConditionStatus, reason string) expected {
	return expected{operatorv1alpha1.ConditionAuditScheduled, status, reason}
}

// configureAudit changes spec.audit.
func configureAudit(t *testing.T, c *cluster, edit func(*operatorv1alpha1.Audit)) {
	t.Helper()
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { edit(&k.Spec.Audit) })
}

// auditCronJobIs waits until a check of the CronJob finds nothing to complain about.
func auditCronJobIs(t *testing.T, c *cluster, check func(batchv1.CronJobSpec) error) {
	t.Helper()
	within(t, healing, func(ctx context.Context) error {
		cronJob := auditCronJob()
		if err := c.mustExist(ctx, cronJob); err != nil {
			return err
		}
		return check(cronJob.Spec)
	})
}

// The life of the audit scanner, from the first schedule to the uninstallation.
func TestAuditScanner(t *testing.T) {
	c := ownCluster(t, (*cluster).InstallCertManager, (*cluster).StartIssuer, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionTrue, "Scheduled"),
		expected{operatorv1alpha1.ConditionReportKindsServed, metav1.ConditionTrue, "Served"}))

	t.Run("it is the Kubewarden's, and heals", func(t *testing.T) { checkAuditChildren(t, c) })
	t.Run("its account has the rights that a scan needs", func(t *testing.T) { checkAuditRights(t, c) })
	t.Run("it trusts what is published", func(t *testing.T) { checkAuditTrust(t, c) })
	t.Run("a schedule that is none leaves the one before it in force", func(t *testing.T) {
		configureAudit(t, c, func(audit *operatorv1alpha1.Audit) { audit.Schedule = "61 * * * *" })
		within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionFalse, "InvalidSchedule")))
		auditCronJobIs(t, c, scheduleIs("0 * * * *"))
		configureAudit(t, c, func(audit *operatorv1alpha1.Audit) { audit.Schedule = "*/60 * * * *" })
		auditCronJobIs(t, c, scheduleIs("*/60 * * * *"))
		within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionTrue, "Scheduled")))
	})
	t.Run("no scan starts while enforcement is suspended", func(t *testing.T) {
		enforce := func(enforcement operatorv1alpha1.Enforcement) {
			change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { k.Spec.Enforcement = enforcement })
		}
		enforce(operatorv1alpha1.EnforcementSuspended)
		auditCronJobIs(t, c, suspensionIs(true))
		within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionFalse, "Suspended")))
		enforce(operatorv1alpha1.EnforcementEnabled)
		auditCronJobIs(t, c, suspensionIs(false))
	})
	t.Run("a scan can be asked for", func(t *testing.T) { checkAuditRequests(t, c) })
	t.Run("what a scan found outlives its Job", func(t *testing.T) { checkAuditResults(t, c) })
	t.Run("it can be done without", func(t *testing.T) {
		configureAudit(t, c, func(audit *operatorv1alpha1.Audit) { audit.Enabled = new(false) })
		within(t, healing, func(ctx context.Context) error { return mustAllBeGone(ctx, c, auditChildren()) })
		within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionFalse, "Disabled")))
		configureAudit(t, c, func(audit *operatorv1alpha1.Audit) { audit.Enabled = nil })
		auditCronJobIs(t, c, suspensionIs(false))
	})
	t.Run("reports can be of the other kind", func(t *testing.T) {
		configureAudit(t, c, func(audit *operatorv1alpha1.Audit) {
			audit.ReportKind = operatorv1alpha1.AuditReportKindOpenReports
		})
		within(t, patience, c.kubewardenIs(expected{operatorv1alpha1.ConditionReportKindsServed, metav1.ConditionTrue, "Served"}))
		within(t, healing, func(ctx context.Context) error { return c.mustExist(ctx, definition("reports.openreports.io")) })
	})
	t.Run("it goes with the Kubewarden, and the definitions of reports stay", func(t *testing.T) {
		if err := c.admin.Delete(t.Context(), theKubewarden()); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, theKubewarden()) })
		if err := mustAllBeGone(t.Context(), c, auditChildren()); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"policyreports.wgpolicyk8s.io", "clusterpolicyreports.wgpolicyk8s.io", "reports.openreports.io"} {
			definition := definition(name)
			if err := c.mustExist(t.Context(), definition); err != nil || len(definition.OwnerReferences) > 0 {
				t.Errorf("definition %s: %v, owners %v", name, err, definition.OwnerReferences)
			}
		}
	})
}

func scheduleIs(want string) func(batchv1.CronJobSpec) error {
	return func(spec batchv1.CronJobSpec) error {
		if spec.Schedule != want {
			return fmt.Errorf("schedule is %q, want %q", spec.Schedule, want)
		}
		return nil
	}
}

func suspensionIs(want bool) func(batchv1.CronJobSpec) error {
	return func(spec batchv1.CronJobSpec) error {
		if *spec.Suspend != want {
			return fmt.Errorf("suspend is %t, want %t", *spec.Suspend, want)
		}
		return nil
	}
}

func mustAllBeGone(ctx context.Context, c *cluster, objects []client.Object) error {
	for _, object := range objects {
		if err := c.mustNotExist(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func checkAuditChildren(t *testing.T, c *cluster) {
	t.Helper()
	for _, child := range auditChildren() {
		if err := c.mustExist(t.Context(), child); err != nil {
			t.Fatal(err)
		}
		if controller := metav1.GetControllerOf(child); controller == nil || controller.Kind != "Kubewarden" {
			t.Errorf("%T %s is controlled by %v", child, child.GetName(), controller)
		}
		if err := c.admin.Delete(t.Context(), child); err != nil {
			t.Fatal(err)
		}
		within(t, healing, func(ctx context.Context) error { return c.mustExist(ctx, child) })
	}
	change(t, c, auditCronJob(), func(cronJob *batchv1.CronJob) { cronJob.Spec.Schedule = "0 0 1 1 *" })
	auditCronJobIs(t, c, scheduleIs("0 * * * *"))
}

func checkAuditTrust(t *testing.T, c *cluster) {
	t.Helper()
	trust, published := named(&corev1.ConfigMap{}, "audit-scanner-ca"), named(&corev1.Secret{}, "kubewarden-ca")
	for _, object := range []client.Object{trust, published} {
		if err := c.mustExist(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := trust.Data["ca.crt"], string(published.Data["ca.crt"]); got == "" || got != want {
		t.Errorf("the scanner trusts %q, want %q", got, want)
	}
}

// checkAuditRights acts as the scanner's account. What the role view lets it read, nobody
// fills in here.
func checkAuditRights(t *testing.T, c *cluster) {
	t.Helper()
	scanner, err := c.Client(c.As("audit-scanner"))
	if err != nil {
		t.Fatal(err)
	}
	report := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport",
		"metadata": map[string]any{"name": "one", "namespace": "default"},
	}}
	for what, attempt := range map[string]func(context.Context) error{
		"list policies":       func(ctx context.Context) error { return scanner.List(ctx, &policiesv1.AdmissionPolicyList{}) },
		"list policy servers": func(ctx context.Context) error { return scanner.List(ctx, &policiesv1.PolicyServerList{}) },
		"find policy servers": func(ctx context.Context) error {
			return scanner.List(ctx, &corev1.ServiceList{}, client.InNamespace(namespace))
		},
		"write and delete a report": func(ctx context.Context) error {
			if err := scanner.Create(ctx, report); err != nil {
				return err
			}
			return scanner.Delete(ctx, report)
		},
	} {
		// The API server learns of a new binding a moment late.
		within(t, healing, func(ctx context.Context) error {
			if err := attempt(ctx); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	if err := scanner.List(t.Context(), &corev1.SecretList{}, client.InNamespace(namespace)); err == nil {
		t.Error("the scanner may list Secrets")
	}
}

// ask asks for a scan.
func ask(t *testing.T, c *cluster, value string) {
	t.Helper()
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
		k.Annotations = map[string]string{operatorv1alpha1.AnnotationAuditNow: value}
	})
}

// auditJobs lists the Jobs of the scanner, which all must be controlled by the CronJob.
func auditJobs(ctx context.Context, t *testing.T, c *cluster) []batchv1.Job {
	t.Helper()
	var jobs batchv1.JobList
	if err := c.admin.List(ctx, &jobs, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range jobs.Items {
		if controller := metav1.GetControllerOf(&jobs.Items[i]); controller == nil || controller.Kind != "CronJob" {
			t.Errorf("Job %s is controlled by %v", jobs.Items[i].Name, controller)
		}
	}
	return jobs.Items
}

// requestIs waits until the status tells of a request.
func requestIs(t *testing.T, c *cluster, outcome operatorv1alpha1.AuditOutcome, value string) *operatorv1alpha1.AuditRequest {
	t.Helper()
	kubewarden := theKubewarden()
	within(t, healing, c.tellsOfRequest(kubewarden, outcome, value))
	return kubewarden.Status.Audit.LastRequest
}

// tellsOfRequest reads the Kubewarden, and complains unless its status tells of a request.
func (c *cluster) tellsOfRequest(
	kubewarden *operatorv1alpha1.Kubewarden, outcome operatorv1alpha1.AuditOutcome, value string,
) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.mustExist(ctx, kubewarden); err != nil {
			return err
		}
		audit := kubewarden.Status.Audit
		if audit == nil || audit.LastRequest == nil {
			return fmt.Errorf("status.audit is %+v", audit)
		}
		if got := audit.LastRequest; got.Value != value || got.Outcome != outcome {
			return fmt.Errorf("the last request is %+v, want %s of %q", got, outcome, value)
		}
		return nil
	}
}

// end has a Job end, as the controller of Jobs would.
func end(t *testing.T, c *cluster, name string, how batchv1.JobConditionType) {
	t.Helper()
	job := named(&batchv1.Job{}, name)
	if err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(job), job); err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	before := map[batchv1.JobConditionType]batchv1.JobConditionType{
		batchv1.JobComplete: batchv1.JobSuccessCriteriaMet, batchv1.JobFailed: batchv1.JobFailureTarget,
	}[how]
	job.Status.StartTime = &now
	for _, condition := range []batchv1.JobConditionType{before, how} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now, Message: "as the test says",
		})
	}
	if how == batchv1.JobComplete {
		job.Status.CompletionTime = &now
	}
	if err := c.admin.Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func checkAuditRequests(t *testing.T, c *cluster) {
	t.Helper()
	ask(t, c, "first")
	first := requestIs(t, c, operatorv1alpha1.AuditOutcomeRunning, "first")

	// Another waits for the one that runs.
	ask(t, c, "second")
	throughout(t, time.Second, func(ctx context.Context) error {
		if jobs := auditJobs(ctx, t, c); len(jobs) != 1 {
			return fmt.Errorf("%d Jobs, want one at a time", len(jobs))
		}
		return nil
	})
	end(t, c, first.JobName, batchv1.JobComplete)
	second := requestIs(t, c, operatorv1alpha1.AuditOutcomeRunning, "second")
	end(t, c, second.JobName, batchv1.JobFailed)
	failed := requestIs(t, c, operatorv1alpha1.AuditOutcomeFailed, "second")
	if failed.Message != "as the test says" {
		t.Errorf("the message is %q", failed.Message)
	}

	// What has been asked for once is not started again, even when nothing is left of it.
	if err := c.admin.DeleteAllOf(t.Context(), &batchv1.Job{}, client.InNamespace(namespace),
		client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	throughout(t, time.Second, func(ctx context.Context) error {
		if jobs := auditJobs(ctx, t, c); len(jobs) != 0 {
			return fmt.Errorf("Job %s was started", jobs[0].Name)
		}
		return nil
	})

	// A value is any string.
	long := strings.Repeat("now! \n\u00e4\U0001F985 ", 5000)
	ask(t, c, long)
	within(t, healing, func(ctx context.Context) error {
		if jobs := auditJobs(ctx, t, c); len(jobs) != 1 {
			return fmt.Errorf("%d Jobs, want 1", len(jobs))
		}
		return nil
	})
	kubewarden := theKubewarden()
	within(t, healing, func(ctx context.Context) error {
		if err := c.mustExist(ctx, kubewarden); err != nil {
			return err
		}
		if value := kubewarden.Status.Audit.LastRequest.Value; !strings.HasPrefix(value, "now!") || len(value) > 64 {
			return fmt.Errorf("the last request is %q", value)
		}
		return nil
	})
	if kubewarden.Status.Audit.LastSuccessfulTime == nil {
		t.Error("status.audit.lastSuccessfulTime is not set")
	}

	// One that somebody deletes is not said to run for ever.
	if err := c.admin.Delete(t.Context(), named(&batchv1.Job{}, kubewarden.Status.Audit.LastRequest.JobName),
		client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	requestIs(t, c, operatorv1alpha1.AuditOutcomeFailed, kubewarden.Status.Audit.LastRequest.Value)
}

// Reports of other tools: their definitions are used as they are.
func TestReportKindsOfOthers(t *testing.T) {
	c := ownCluster(t, (*cluster).InstallCertManager, (*cluster).StartIssuer)
	theirs := otherReportDefinitions(t)
	for _, definition := range theirs {
		if err := c.admin.Create(t.Context(), definition); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []func() error{c.StartOperator, c.CreateKubewarden} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionFalse, "ReportKindsNotServed"),
		expected{operatorv1alpha1.ConditionReportKindsServed, metav1.ConditionFalse, "VersionNotServed"}))
	within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, auditCronJob()) })
	auditCronJobIs(t, c, suspensionIs(true))

	// A set that stores another version serves well, as long as it serves ours.
	for _, definition := range theirs {
		change(t, c, definition, func(definition *apiextensionsv1.CustomResourceDefinition) {
			for i := range definition.Spec.Versions {
				definition.Spec.Versions[i].Served = true
			}
		})
	}
	within(t, patience, c.kubewardenIs(scheduled(metav1.ConditionTrue, "Scheduled"),
		expected{operatorv1alpha1.ConditionReportKindsServed, metav1.ConditionTrue, "Served"}))
	auditCronJobIs(t, c, suspensionIs(false))
	for _, definition := range theirs {
		if err := c.mustExist(t.Context(), definition); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"app.kubernetes.io/managed-by": "Helm"}, definition.Labels); diff != "" {
			t.Errorf("labels of %s (-want +got):\n%s", definition.Name, diff)
		}
	}
}

// otherReportDefinitions store and serve v1beta1; they have v1alpha2 and do not serve it.
func otherReportDefinitions(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	definitions, err := reports.Definitions(reports.GroupPolicyReports)
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range definitions {
		definition.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm"}
		newer := *definition.Spec.Versions[0].DeepCopy()
		newer.Name = "v1beta1"
		older := &definition.Spec.Versions[0]
		older.Served, older.Storage = false, false
		definition.Spec.Versions = append(definition.Spec.Versions, newer)
	}
	return definitions
}
