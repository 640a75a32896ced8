//go:build integration

package scan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/config/crd/reports"
)

// inNamespace has a policy judge one namespace, and the Namespace itself.
func inNamespace(name string) func(*policiesv1.ClusterAdmissionPolicy) {
	return func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": name}}
	}
}

// told are reports of an API that have results.
func (w *world) told(kind report.Kind) map[string][]string {
	w.t.Helper()
	version, kinds := v1alpha2.SchemeGroupVersion, []string{"PolicyReport", "ClusterPolicyReport"}
	if kind == report.KindOpenReports {
		version, kinds = schema.GroupVersion{Group: reports.GroupOpenReports, Version: "v1alpha1"}, []string{"Report", "ClusterReport"}
	}
	told := w.written(version, kinds...)
	for object, lines := range told {
		if len(lines) == 0 {
			delete(told, object)
		}
	}
	return told
}

func TestReportsReplaceThoseOfTheFormerKind(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-k", nil)
	w.namespace("team-k2", nil)
	w.pod("team-k", "web", nil)
	for _, object := range []client.Object{
		&v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Namespace: "team-k"}, Scope: &corev1.ObjectReference{Kind: "Other", Name: "theirs"}},
		w.former("team-k", "theirs", map[string]string{"app.kubernetes.io/managed-by": "kyverno"}),
	} {
		w.create(object)
	}
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods,namespaces"), inNamespace("team-k"))
	want := map[string][]string{"Pod/team-k/web": {"kw.cap.all pass"}, "Namespace//team-k": {"kw.cap.all pass"}}
	steps := []struct{ chosen, former report.Kind }{
		{chosen: report.KindPolicyReport, former: report.KindOpenReports},
		{chosen: report.KindOpenReports, former: report.KindPolicyReport},
		{chosen: report.KindPolicyReport, former: report.KindOpenReports},
	}
	for i, step := range steps {
		chosen := func(c *Config) { c.Store = w.store(environment.Config, step.chosen) }
		if i > 0 {
			// A scan of another namespace has nothing to put in their place.
			if _, err := w.scan(environment.Config, Target{Namespace: "team-k2"}, chosen); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, w.told(step.former)); diff != "" {
				t.Errorf("step %d: reports of the former kind after a scan of another namespace (-want +got):\n%s", i, diff)
			}
		}
		if _, err := w.scan(environment.Config, Target{}, chosen); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.told(step.chosen)); diff != "" {
			t.Errorf("step %d: reports (-want +got):\n%s", i, diff)
		}
		if diff := cmp.Diff([]string{"theirs"}, w.namesOf(step.former)); diff != "" {
			t.Errorf("step %d: reports of the former kind (-want +got):\n%s", i, diff)
		}
		if !slices.Contains(w.namesOf(step.chosen), "theirs") {
			t.Errorf("step %d: a report of others is gone", i)
		}
	}
}

// namesOf are the names of all reports of an API, also those of others.
func (w *world) namesOf(chosen report.Kind) []string {
	w.t.Helper()
	var names []string
	for _, object := range w.everyReport() {
		if (object.GroupVersionKind().Group == reports.GroupOpenReports) == (chosen == report.KindOpenReports) {
			names = append(names, object.GetName())
		}
	}
	return names
}

// former is a report of openreports.io about nothing in particular.
func (w *world) former(namespace, name string, labels map[string]string) *unstructured.Unstructured {
	kind := schema.GroupVersionKind{Group: reports.GroupOpenReports, Version: "v1alpha1", Kind: "Report"}
	if namespace == "" {
		kind.Kind = "ClusterReport"
	}
	former := &unstructured.Unstructured{Object: map[string]any{"source": "", "scope": map[string]any{"kind": "Other", "name": name}}}
	former.SetGroupVersionKind(kind)
	former.SetNamespace(namespace)
	former.SetName(name)
	former.SetLabels(labels)
	return former
}

func TestReportsOfNamespacesThatAreLeftOutGo(t *testing.T) {
	cases := map[string]func(*Config){
		"ignored": func(c *Config) { c.IgnoreNamespaces = append(c.IgnoreNamespaces, "team-r") },
		"exempt":  func(c *Config) { c.ExemptNamespaces = []string{"team-r"} },
	}
	for name, leaveOut := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.namespace("team-r", nil)
			w.namespace("team-s", nil)
			w.pod("team-r", "web", nil)
			w.pod("team-s", "web", nil)
			w.create(&v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Namespace: "team-r"}, Scope: &corev1.ObjectReference{Kind: "Other", Name: "theirs"}})
			w.double.judge("kw.cap.all", allow)
			w.policy("all", creating("", "v1", "pods"), nil)
			both := map[string][]string{"Pod/team-r/web": {"kw.cap.all pass"}, "Pod/team-s/web": {"kw.cap.all pass"}, "Other//theirs": {}}
			w.mustScan()
			if diff := cmp.Diff(both, w.policyReports()); diff != "" {
				t.Fatalf("reports (-want +got):\n%s", diff)
			}
			w.checkScanLeaves(both, "of one namespace", Target{Namespace: "team-s"}, leaveOut)
			w.checkScanLeaves(both, "of the cluster", Target{ClusterOnly: true}, leaveOut)
			w.checkScanLeaves(both, "that stores nothing", Target{}, func(c *Config) { leaveOut(c); c.DisableStore = true })
			summary, err := w.scan(environment.Config, Target{}, leaveOut)
			if err != nil || summary.Deleted != 1 {
				t.Errorf("deleted %d, want 1; error %v", summary.Deleted, err)
			}
			if diff := cmp.Diff(map[string][]string{"Pod/team-s/web": {"kw.cap.all pass"}, "Other//theirs": {}}, w.policyReports()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
		})
	}
}

// checkScanLeaves holds that there are these reports after a scan that has no say in them.
func (w *world) checkScanLeaves(want map[string][]string, description string, target Target, change func(*Config)) {
	w.t.Helper()
	if _, err := w.scan(environment.Config, target, change); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		w.t.Errorf("reports after a scan %s (-want +got):\n%s", description, diff)
	}
}

func TestWhatCannotBeFoundOutIsASkip(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-t", nil)
	w.pod("team-t", "web", nil)
	w.double.judge("kw.cap.rights", allow)
	w.policy("rights", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "others", Expression: `!authorizer.serviceAccount('plain', 'robot').group('').resource('secrets').check('get').allowed()`}}
	})
	w.double.judge("kw.cap.elsewhere", allow)
	w.policy("elsewhere", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"absent": "yes"}}
	})
	want := map[string][]string{"Pod/team-t/web": {
		"kw.cap.rights skip not asked, since it is not known whether a match condition holds: find out the rights of system:serviceaccount:plain:robot: only the rights of the scanner itself can be found out",
	}}
	summary := w.mustScan()
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if summary.Results[report.OutcomeSkip] != 1 || summary.Unasked[plan.ReasonAuthorizer] != 1 || summary.Unasked[plan.ReasonObjectSelector] != 1 {
		t.Errorf("results %v, not asked %v", summary.Results, summary.Unasked)
	}
	if again := w.mustScan(); again.Reports[report.Unchanged] != 1 || len(again.Reports) != 1 {
		t.Errorf("nothing changed, yet: %v", again.Reports)
	}
}

// TestTheLargestReportIsStored has more policies say more than a report can hold, in text
// that becomes longest in JSON.
func TestTheLargestReportIsStored(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-u", nil)
	pod := w.pod("team-u", "web", nil)
	large := report.Report{Scope: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "team-u", Name: "web", UID: pod.UID}}
	for i := range 5000 {
		large.Results = append(large.Results, report.Result{
			Policy:  &plan.Policy{ID: fmt.Sprintf("kw.cap.policy-%d", i), Name: fmt.Sprintf("policy-%d", i)},
			Outcome: report.OutcomeFail, Message: strings.Repeat("<", 2000), Time: time.Unix(1_795_608_000, 0),
		})
	}
	for _, kind := range report.Kinds() {
		store := w.store(environment.Config, kind)
		for _, want := range []report.Written{report.Created, report.Unchanged} {
			session, err := store.Open(t.Context(), "team-u")
			if err != nil {
				t.Fatal(err)
			}
			if written, err := session.Write(t.Context(), large); err != nil || written != want || session.Shortened() != 1 {
				t.Errorf("%s: written = %q, %v, want %q; shortened %d", kind, written, err, want, session.Shortened())
			}
		}
		lines := w.told(kind)["Pod/team-u/web"]
		if len(lines) < 1000 || !strings.HasSuffix(lines[0], "<<< [...]") {
			t.Errorf("%s: %d results are left, the first is %.200q", kind, len(lines), append(lines, "")[0])
		}
	}
}
