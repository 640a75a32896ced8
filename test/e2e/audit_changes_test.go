//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// verdicts are the results of a report by the ID of their policy: the outcome, and the severity
// if there is one.
type verdicts map[string]string

// TestReportsFollowWhatChanges changes what a scan depends on, one thing after the other, and
// scans again each time: by the schedule, and on demand.
func TestReportsFollowWhatChanges(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	offender, other := privileged(newPod(ns)), newPod(ns)
	create(t, offender)
	create(t, other)
	privilege := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	privilege.Spec.Mode = policiesv1.PolicyModeMonitor
	enforce(t, privilege)
	labels := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"team"}})
	enforce(t, labels)
	byPrivilege, byLabels := "kw.cap."+privilege.Name, "kw.cap."+labels.Name

	audit(t)
	g.Expect(reportsIn(t, ns)).To(gomega.Equal(map[types.UID]verdicts{
		offender.UID: {byPrivilege: "fail info", byLabels: "pass"},
		other.UID:    {byPrivilege: "pass info", byLabels: "pass"},
	}))

	g.Expect(cluster.Delete(t.Context(), labels)).To(gomega.Succeed())
	auditBySchedule(t)
	g.Expect(reportsIn(t, ns)).To(gomega.Equal(map[types.UID]verdicts{
		offender.UID: {byPrivilege: "fail info"},
		other.UID:    {byPrivilege: "pass info"},
	}), "a policy is gone, and its results with it")

	g.Expect(cluster.Delete(t.Context(), other, client.GracePeriodSeconds(0))).To(gomega.Succeed())
	change(t, privilege, func() { privilege.Spec.Mode = policiesv1.PolicyModeProtect })
	eventuallyReady(t, privilege, auditPatience)
	audit(t)
	g.Expect(reportsIn(t, ns)).To(gomega.Equal(map[types.UID]verdicts{
		offender.UID: {byPrivilege: "fail"},
	}), "an object is gone, and a policy does not only watch any more")

	exempt(t, ns)
	audit(t)
	g.Expect(reportsIn(t, ns)).To(gomega.BeEmpty(), "no policy judges anything in an exempt namespace")
}

// reportsIn are the reports of a namespace by the UID of their object. Each must count what it
// holds.
func reportsIn(t *testing.T, ns string) map[types.UID]verdicts {
	t.Helper()
	list := v1alpha2.PolicyReportList{}
	if err := json.Unmarshal([]byte(kubectl(t, "--namespace", ns, "get", "policyreports.wgpolicyk8s.io", "--output=json")), &list); err != nil {
		t.Fatal(err)
	}
	reports := map[types.UID]verdicts{}
	for _, report := range list.Items {
		found, recount := verdicts{}, v1alpha2.PolicyReportSummary{}
		for _, result := range report.Results {
			found[result.Policy] = strings.TrimSpace(fmt.Sprintf("%s %s", result.Result, result.Severity))
			switch result.Result {
			case "pass":
				recount.Pass++
			case "fail":
				recount.Fail++
			case "error":
				recount.Error++
			}
		}
		if report.Summary != recount {
			t.Errorf("report %s counts %+v, and holds %+v", report.Name, report.Summary, recount)
		}
		reports[types.UID(report.Name)] = found
	}
	return reports
}

// auditBySchedule has a scan fall due within seconds, and waits until it is complete.
func auditBySchedule(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { configureAudit(t, `{"schedule":null}`) })
	before := auditStatus(t).LastFinished
	configureAudit(t, `{"schedule":"@every 5s"}`)
	// A Job of the schedule bears the minute in which it fell due.
	scheduled := regexp.MustCompile(`^audit-scanner-[0-9]+$`)
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		run := auditStatus(t).LastFinished
		g.Expect(run).To(gomega.And(gomega.Not(gomega.BeNil()), gomega.Not(gomega.Equal(before))))
		g.Expect(run.JobName).To(gomega.MatchRegexp(scheduled.String()))
		g.Expect(run.Outcome).To(gomega.Equal(operatorv1alpha1.AuditOutcomeComplete), run.Message)
	}).WithTimeout(auditPatience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
	configureAudit(t, `{"schedule":null}`)
}

// configureAudit merges into spec.audit.
func configureAudit(t *testing.T, patch string) {
	t.Helper()
	kubectlAfter(t, "patch", "kubewarden", operatorv1alpha1.KubewardenName, "--type=merge", "--patch", `{"spec":{"audit":`+patch+`}}`)
}

// auditStatus is what the Kubewarden tells of audits; an empty one before the first.
func auditStatus(t *testing.T) operatorv1alpha1.AuditStatus {
	t.Helper()
	kubewarden := &operatorv1alpha1.Kubewarden{}
	gomega.NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden)).To(gomega.Succeed())
	if kubewarden.Status.Audit == nil {
		return operatorv1alpha1.AuditStatus{}
	}
	return *kubewarden.Status.Audit
}

// lastRequest is the scan that was asked for last and has started; an empty one before the first.
func lastRequest(t *testing.T) operatorv1alpha1.AuditRequest {
	t.Helper()
	if request := auditStatus(t).LastRequest; request != nil {
		return *request
	}
	return operatorv1alpha1.AuditRequest{}
}

// exempt has no policy judge anything in a namespace, until the end of the test.
func exempt(t *testing.T, ns string) {
	t.Helper()
	kubewarden := &operatorv1alpha1.Kubewarden{}
	gomega.NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden)).To(gomega.Succeed())
	set := func(namespaces []string) {
		list, err := json.Marshal(namespaces)
		if err != nil {
			t.Fatal(err)
		}
		kubectlAfter(t, "patch", "kubewarden", operatorv1alpha1.KubewardenName, "--type=merge", "--patch", `{"spec":{"exemptNamespaces":`+string(list)+`}}`)
	}
	before := kubewarden.Spec.ExemptNamespaces
	t.Cleanup(func() { set(before) })
	set(append([]string{ns}, before...))
}
