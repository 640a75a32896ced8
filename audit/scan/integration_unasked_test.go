//go:build integration

package scan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// selective makes policies about the pods of one namespace, each of which is kept from being
// asked about some of them for a reason of its own.
func (w *world) selective(namespace string) {
	w.t.Helper()
	specs := map[string]func(*policiesv1.ClusterAdmissionPolicy){
		"all": func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Rules[0].Resources = []string{"pods", "secrets"} },
		"apps": func(p *policiesv1.ClusterAdmissionPolicy) {
			p.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		},
		"named":     condition(`object.metadata.name == 'web'`, admissionregistrationv1.Fail),
		"broken":    condition(`object.spec.absent == 'x'`, admissionregistrationv1.Fail),
		"lenient":   condition(`object.spec.absent == 'x'`, admissionregistrationv1.Ignore),
		"rights":    condition(`!authorizer.serviceAccount('plain', 'robot').group('').resource('secrets').check('get').allowed()`, admissionregistrationv1.Fail),
		"elsewhere": inNamespace("absent"),
		"off":       func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.BackgroundAudit = new(false) },
		"deletions": func(p *policiesv1.ClusterAdmissionPolicy) {
			p.Spec.Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Delete}
		},
	}
	for name, change := range specs {
		w.double.judge("kw.cap."+name, allow)
		w.policy(name, creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
			inNamespace(namespace)(p)
			change(p)
		})
	}
}

// condition gives a policy a match condition.
func condition(expression string, failure admissionregistrationv1.FailurePolicyType) func(*policiesv1.ClusterAdmissionPolicy) {
	return func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "condition", Expression: expression}}
		p.Spec.FailurePolicy = &failure
	}
}

// TestEveryPairThatIsNotAskedHasACountedReason adds up: each pair of a policy and an object
// either has a verdict or an error, or is counted with a reason.
func TestEveryPairThatIsNotAskedHasACountedReason(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-z", nil)
	w.pod("team-z", "web", map[string]string{"app": "web"})
	w.pod("team-z", "db", map[string]string{"app": "db"})
	w.pod("team-z", "spared", nil)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "password", Namespace: "team-z"}})
	w.selective("team-z")
	spare := func(c *Config) { c.MatchCondition = `object.metadata.name != 'spared'` }

	summary, err := w.scan(w.limited("no-secrets"), Target{Namespace: "team-z"}, spare)
	if err != nil {
		t.Fatal(err)
	}
	wantResults := map[report.Outcome]int{report.OutcomePass: 4, report.OutcomeError: 2, report.OutcomeSkip: 2}
	if diff := cmp.Diff(wantResults, summary.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	wantUnasked := map[plan.Reason]int{
		plan.ReasonNeverLockOut:      3, // all, broken and rights, about what is spared
		plan.ReasonObjectSelector:    2, // apps, about two
		plan.ReasonMatchCondition:    5, // named about two, lenient about three
		plan.ReasonAuthorizer:        2, // rights, about two
		plan.ReasonNamespaceSelector: 1, // elsewhere, about all
		plan.ReasonNotListed:         1, // all, about Secrets
	}
	if diff := cmp.Diff(wantUnasked, summary.Unasked); diff != "" {
		t.Errorf("not asked (-want +got):\n%s", diff)
	}
	wantSkipped := map[plan.Reason]int{plan.ReasonBackgroundAuditDisabled: 1, plan.ReasonOperationNotReplayed: 1}
	if diff := cmp.Diff(wantSkipped, summary.SkippedByReason()); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	w.checkReportsOfSelective()

	summary, err = w.scan(environment.Config, Target{}, func(c *Config) { spare(c); c.IgnoreNamespaces = append(c.IgnoreNamespaces, "team-z") })
	if err != nil {
		t.Fatal(err)
	}
	if got := summary.Unasked[plan.ReasonIgnoredNamespace]; got != 7 || len(summary.Results) > 0 {
		t.Errorf("%d questions are left out with the namespace, want those of six policies about pods and of one about Secrets; results %v", got, summary.Results)
	}
}

func (w *world) checkReportsOfSelective() {
	w.t.Helper()
	const (
		failed  = "kw.cap.broken error evaluate match conditions: "
		unknown = "kw.cap.rights skip not asked, since it is not known whether a match condition holds"
	)
	want := map[string][]string{
		"Pod/team-z/web":    {"kw.cap.all pass", "kw.cap.apps pass", failed, "kw.cap.named pass", unknown},
		"Pod/team-z/db":     {"kw.cap.all pass", failed, unknown},
		"Pod/team-z/spared": {},
	}
	got := w.policyReports()
	for _, lines := range got {
		for i, line := range lines {
			for _, beginning := range []string{failed, unknown} {
				if len(line) > len(beginning) && line[:len(beginning)] == beginning {
					lines[i] = beginning
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("reports (-want +got):\n%s", diff)
	}
}
