//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	"github.com/onsi/gomega"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// auditPatience is how long a step around a scan may take on a machine that is busy.
const auditPatience = 3 * time.Minute

func TestAnAuditReportsWhatIsThereAlready(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	pod := privileged(newPod(ns))
	create(t, pod)
	privilege := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	privilege.Spec.Mode = policiesv1.PolicyModeMonitor
	enforce(t, privilege)
	labels := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"team"}})
	enforce(t, labels)
	group := newGroup(t, ns)
	create(t, group)
	eventuallyGroupReady(t, group)

	audit(t)

	// Unknown fields are refused: what is written is what the published types know.
	decoder := json.NewDecoder(strings.NewReader(kubectl(t, "--namespace", ns, "get", "policyreports.wgpolicyk8s.io", string(pod.UID), "--output=json")))
	decoder.DisallowUnknownFields()
	report := v1alpha2.PolicyReport{}
	g.Expect(decoder.Decode(&report)).To(gomega.Succeed())
	got, recount := map[string]string{}, v1alpha2.PolicyReportSummary{}
	for _, result := range report.Results {
		got[result.Policy] = fmt.Sprintf("%s %s", result.Result, result.Message)
		switch result.Result {
		case "pass":
			recount.Pass++
		case "fail":
			recount.Fail++
		}
	}
	g.Expect(got).To(gomega.Equal(map[string]string{
		"kw.cap." + privilege.Name: "fail Privileged container is not allowed",
		"kw.cap." + labels.Name:    "pass ",
		"kw.capg." + group.Name:    "fail a Pod needs an owner, or somebody on call",
	}))
	g.Expect(report.Summary).To(gomega.Equal(recount))
	g.Expect(report.Summary).To(gomega.Equal(v1alpha2.PolicyReportSummary{Pass: 1, Fail: 2}))
	g.Expect(kubectl(t, "get", "policyreports", "--all-namespaces", "--output=wide")).
		To(gomega.MatchRegexp(`%s\s+%s\s+Pod\s+%s\s+1\s+2\s+0\s+0\s+0`, ns, pod.UID, pod.Name))
}

// audit asks for a scan and waits until it is complete.
func audit(t *testing.T) {
	t.Helper()
	auditEnds(t, requestAudit(t))
}

// requestAudit asks for a scan, by the value that it returns.
func requestAudit(t *testing.T) string {
	t.Helper()
	value := time.Now().Format(time.RFC3339Nano)
	kubectl(t, "annotate", "--overwrite", "kubewarden", operatorv1alpha1.KubewardenName, operatorv1alpha1.AnnotationAuditNow+"="+value)
	return value
}

// auditEnds waits until the scan that was asked for by the value is complete.
func auditEnds(t *testing.T, value string) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		request := lastRequest(t)
		g.Expect(request.Value).To(gomega.Equal(value))
		g.Expect(request.Outcome).To(gomega.Equal(operatorv1alpha1.AuditOutcomeComplete), request.Message)
	}).WithTimeout(auditPatience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
}
