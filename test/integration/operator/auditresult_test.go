//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// checkAuditResults has scans end one after the other, each with what its scanner says, and
// looks at what the status and Events tell.
func checkAuditResults(t *testing.T, c *cluster) {
	t.Helper()
	left := `{"objects":9,"pass":5,"fail":1,"error":3,"kept":4,"skipped":{"NotActive":2},` +
		`"unasked":{"ObjectSelector":6},"unlisted":["roles","secrets"],"unlistedCount":2,` +
		`"written":7,"unchanged":1,"deleted":0,"problem":"list roles: forbidden"}`
	summary := &operatorv1alpha1.AuditSummary{
		Objects: 9, Pass: 5, Fail: 1, Error: 3, Kept: 4,
		Skipped: map[string]int64{"NotActive": 2}, Unasked: map[string]int64{"ObjectSelector": 6},
		Unlisted: []string{"roles", "secrets"}, UnlistedCount: 2,
		Written: 7, Unchanged: 1, Problem: "list roles: forbidden",
	}
	failed := finishScan(t, c, "failed", ending{batchv1.JobFailed, left})
	if failed.Message != "as the test says: list roles: forbidden" {
		t.Errorf("the message is %q", failed.Message)
	}
	if diff := cmp.Diff(summary, failed.Summary); diff != "" {
		t.Errorf("the summary (-want +got):\n%s", diff)
	}
	kubewarden := theKubewardenOf(t, c)
	within(t, patience, c.hasEvent(t, kubewarden, "Warning AuditFailed"))

	// One that runs changes nothing about the one that ended, nor does the end of its Job.
	ask(t, c, "running")
	running := requestIs(t, c, operatorv1alpha1.AuditOutcomeRunning, "running")
	deleteJob(t, c, failed.JobName)
	kubewarden = theKubewardenOf(t, c)
	if diff := cmp.Diff(failed, kubewarden.Status.Audit.LastFinished); diff != "" {
		t.Errorf("while another runs (-want +got):\n%s", diff)
	}
	finish(t, c, running.JobName, ending{batchv1.JobComplete, `{"objects":9,"pass":6,"error":3}`})
	within(t, patience, c.hasEvent(t, kubewarden, "Warning AuditIncomplete"))

	whole := finishScan(t, c, "whole", ending{batchv1.JobComplete, `{"objects":9,"pass":9}`})
	if diff := cmp.Diff(&operatorv1alpha1.AuditSummary{Objects: 9, Pass: 9}, whole.Summary); diff != "" {
		t.Errorf("the summary (-want +got):\n%s", diff)
	}
	within(t, patience, c.hasEvent(t, kubewarden, "Normal AuditRecovered"))

	// A scanner that was killed says nothing, and one of another version something else.
	for value, message := range map[string]string{"killed": "", "foreign": "panic: out of luck"} {
		if got := finishScan(t, c, value, ending{batchv1.JobFailed, message}); got.Summary != nil || got.Message != "as the test says" {
			t.Errorf("%s: the message is %q, the summary %+v", value, got.Message, got.Summary)
		}
	}
}

// ending is how a scan ends, and the message that its scanner leaves.
type ending struct {
	how     batchv1.JobConditionType
	message string
}

// finishScan asks for a scan and has it end.
func finishScan(t *testing.T, c *cluster, value string, as ending) *operatorv1alpha1.AuditResult {
	t.Helper()
	ask(t, c, value)
	return finish(t, c, requestIs(t, c, operatorv1alpha1.AuditOutcomeRunning, value).JobName, as)
}

// finish has a scan that runs end; the result is what the status tells of it.
func finish(t *testing.T, c *cluster, job string, as ending) *operatorv1alpha1.AuditResult {
	t.Helper()
	leave(t, c, job, as.message)
	// Jobs tell of seconds, and no scan with a real Pod ends within that of the one before.
	kubewarden := theKubewardenOf(t, c)
	if before := kubewarden.Status.Audit.LastFinished; before != nil && before.EndTime != nil {
		time.Sleep(time.Until(before.EndTime.Add(time.Second)))
	}
	end(t, c, job, as.how)
	within(t, patience, func(ctx context.Context) error {
		if err := c.mustExist(ctx, kubewarden); err != nil {
			return err
		}
		if finished := kubewarden.Status.Audit.LastFinished; finished == nil || finished.JobName != job {
			return fmt.Errorf("the scan that ended last is %+v, want that of Job %s", finished, job)
		}
		return nil
	})
	return kubewarden.Status.Audit.LastFinished
}

// leave makes the Pod of a Job, which has ended and left a message, as a kubelet would have it.
func leave(t *testing.T, c *cluster, name, message string) {
	t.Helper()
	job := named(&batchv1.Job{}, name)
	if err := c.mustExist(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	pod := named(&corev1.Pod{Spec: job.Spec.Template.Spec}, name)
	pod.Labels = job.Spec.Template.Labels
	if err := c.admin.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  pod.Spec.Containers[0].Name,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}},
	}}
	if err := c.admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

func deleteJob(t *testing.T, c *cluster, name string) {
	t.Helper()
	job := named(&batchv1.Job{}, name)
	if err := c.admin.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, job) })
}
