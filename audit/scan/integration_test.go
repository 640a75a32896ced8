//go:build integration

package scan

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// unless denies objects with a label.
func unless(label, message string) verdict {
	return func(object *unstructured.Unstructured) (bool, string) {
		if _, has := object.GetLabels()[label]; has {
			return false, message
		}
		return true, ""
	}
}

func TestAScanReportsOnEveryObjectThatAPolicyCovers(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-a", map[string]string{"env": "prod"})
	w.namespace("team-b", nil)
	w.namespace("kube-node-lease", nil)
	for _, name := range []string{"one", "three", "two"} {
		w.pod("team-a", name, map[string]string{"app": name})
	}
	w.pod("team-b", "bad", map[string]string{"privileged": "yes"})
	w.pod("kubewarden", "policy-server", map[string]string{"privileged": "yes"})
	w.pod("kube-node-lease", "ignored", map[string]string{"privileged": "yes"})

	pods := creating("", "v1", "pods")
	w.double.judge("kw.cap.privileged", unless("privileged", "privileged is set"))
	w.policy("privileged", pods, nil)
	w.double.judge("kw.cap.narrow", unless("app", "no apps"))
	w.policy("narrow", pods, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Mode = policiesv1.PolicyModeMonitor
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
		p.Spec.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"three"}}}}
		p.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "not-two", Expression: `object.metadata.name != "two" && request.userInfo.username != "jane"`}}
	})
	w.policy("unknown-to-its-server", pods, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "two"}}
	})
	w.policy("without-server", pods, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.PolicyServer = "absent"
		p.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "three"}}
	})
	w.policy("pending", pods, func(p *policiesv1.ClusterAdmissionPolicy) { p.Status.PolicyStatus = policiesv1.PolicyStatePending })
	w.double.judge("kw.cap.names", unless("forbidden", "forbidden"))
	w.policy("names", creating("", "v1", "namespaces"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	})

	summary := w.mustScan()
	want := map[string][]string{
		"Pod/team-a/one":    {"kw.cap.narrow fail no apps", "kw.cap.privileged pass"},
		"Pod/team-a/two":    {"kw.cap.privileged pass", `kw.cap.unknown-to-its-server error unexpected status code: 404 body: {"message":"unknown policy","status":404}`},
		"Pod/team-a/three":  {"kw.cap.privileged pass", "kw.cap.without-server error policy server absent does not exist"},
		"Pod/team-b/bad":    {"kw.cap.privileged fail privileged is set"},
		"Namespace//team-a": {"kw.cap.names pass"},
	}
	got := w.policyReports()
	for name, lines := range got {
		if strings.HasPrefix(name, "Namespace//") && len(lines) == 0 {
			delete(got, name) // other namespaces, which the selector leaves out
		}
	}
	if diff := cmp.Diff(want, trimmed(got)); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if summary.Results[report.OutcomeError] != 2 || summary.Results[report.OutcomeFail] != 2 {
		t.Errorf("summary %+v", summary)
	}
	if len(summary.Skips) != 1 || summary.Skips[0].PolicyID != "kw.cap.pending" || !strings.Contains(w.logs.String(), "NotActive: its status is pending") {
		t.Errorf("skips %v, log:\n%s", summary.Skips, w.logs)
	}
}

// trimmed cuts line ends that the double's HTTP errors have.
func trimmed(reports map[string][]string) map[string][]string {
	for _, lines := range reports {
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
	}
	return reports
}

func TestASecondScanWritesWhatChangedAndDeletesWhatIsStale(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-c", nil)
	good, changing, passing := w.pod("team-c", "good", nil), w.pod("team-c", "changing", nil), w.pod("team-c", "passing", nil)
	w.double.judge("kw.cap.privileged", unless("privileged", "privileged is set"))
	w.double.judge("kw.cap.second", allow)
	privileged := w.policy("privileged", creating("", "v1", "pods"), nil)
	second := w.policy("second", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "absent", Operator: metav1.LabelSelectorOpDoesNotExist}}}
	})
	first := w.mustScan()
	if first.Reports[report.Created] != 3 {
		t.Fatalf("summary %+v", first)
	}

	before := w.revisions()
	if summary := w.mustScan(); summary.Reports[report.Unchanged] != 3 || len(summary.Reports) != 1 || summary.Deleted != 0 {
		t.Errorf("nothing changed, yet: %+v", summary)
	}
	if diff := cmp.Diff(before, w.revisions()); diff != "" {
		t.Errorf("nothing changed, yet reports were written (-before +after):\n%s", diff)
	}

	changing.Labels = map[string]string{"privileged": "yes"}
	if err := w.client.Update(t.Context(), changing); err != nil {
		t.Fatal(err)
	}
	w.delete(passing)
	w.delete(second)
	summary := w.mustScan()
	if summary.Reports[report.Replaced] != 2 || summary.Deleted != 1 {
		t.Errorf("summary %+v", summary)
	}
	want := map[string][]string{
		"Pod/team-c/good":     {"kw.cap.privileged pass"},
		"Pod/team-c/changing": {"kw.cap.privileged fail privileged is set"},
	}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	w.checkMetadata(good)

	w.delete(privileged)
	w.mustScan()
	if got := w.policyReports(); len(got) != 0 {
		t.Errorf("without policies there are reports: %v", got)
	}
}

// checkMetadata holds what other tools find a report by.
func (w *world) checkMetadata(pod *corev1.Pod) {
	w.t.Helper()
	stored := &v1alpha2.PolicyReport{}
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: pod.Namespace, Name: string(pod.UID)}, stored); err != nil {
		w.t.Fatal(err)
	}
	wantLabels := map[string]string{
		"app.kubernetes.io/managed-by":        "kubewarden",
		"kubewarden.io/policyreport-version":  "v2",
		"kubewarden.io/audit-scanner-run-uid": "run-3",
	}
	if diff := cmp.Diff(wantLabels, stored.Labels); diff != "" {
		w.t.Errorf("labels (-want +got):\n%s", diff)
	}
	wantOwner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}}
	if diff := cmp.Diff(wantOwner, stored.OwnerReferences); diff != "" {
		w.t.Errorf("owner (-want +got):\n%s", diff)
	}
	if got := stored.Results[0].Timestamp.Seconds; got != w.now.Unix() {
		w.t.Errorf("timestamp %d, want %d", got, w.now.Unix())
	}
}

func TestOneObjectInTwoVersionsHasOneReport(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-d", nil)
	w.create(&autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team-d"},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}},
	})
	version := func(want string) verdict {
		return func(object *unstructured.Unstructured) (bool, string) {
			return object.GetAPIVersion() == want, "asked about " + object.GetAPIVersion()
		}
	}
	// The report refers to the version that the cluster prefers, which comes first and is over before the next, however
	// long a policy takes about it.
	var firstIsOver atomic.Bool
	w.double.judge("kw.cap.old", func(object *unstructured.Unstructured) (bool, string) {
		accepted, message := version("autoscaling/v1")(object)
		return accepted && firstIsOver.Load(), message
	})
	w.policy("old", creating("autoscaling", "v1", "horizontalpodautoscalers"), nil)
	w.double.judge("kw.cap.new", func(object *unstructured.Unstructured) (bool, string) {
		<-time.After(100 * time.Millisecond)
		defer firstIsOver.Store(true)
		return version("autoscaling/v2")(object)
	})
	w.policy("new", creating("autoscaling", "v2", "horizontalpodautoscalers"), nil)
	w.double.judge("kw.cap.any", version("autoscaling/v2"))
	w.policy("any", creating("*", "*", "horizontalpodautoscalers"), nil)
	w.mustScan()
	want := map[string][]string{"HorizontalPodAutoscaler/team-d/web": {
		"kw.cap.any pass asked about autoscaling/v2", "kw.cap.new pass asked about autoscaling/v2", "kw.cap.old pass asked about autoscaling/v1",
	}}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func TestWildcardsCoverWhatTheClusterServes(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-e", map[string]string{"scan": "all"})
	w.pod("team-e", "web", nil)
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "team-e"}})
	w.create(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "happened", Namespace: "team-e"}, InvolvedObject: corev1.ObjectReference{Namespace: "team-e"}})
	w.double.judge("kw.cap.everything", allow)
	w.policy("everything", creating("*", "*", "*/*"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"scan": "all"}}
	})
	want := map[string][]string{
		"Pod/team-e/web":            {"kw.cap.everything pass"},
		"ConfigMap/team-e/settings": {"kw.cap.everything pass"},
	}
	for range 2 { // a second scan must not report on the reports of the first
		if _, err := w.scan(environment.Config, Target{Namespace: "team-e"}, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.policyReports()); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
	}
	for _, reason := range []string{"policyreports.wgpolicyk8s.io: Reports", "events: Volatile", "NotListable", "validatingwebhookconfigurations.admissionregistration.k8s.io: NeverCalled"} {
		if !strings.Contains(w.logs.String(), reason) {
			t.Errorf("the log does not say %q:\n%s", reason, w.logs)
		}
	}
}

func TestPoliciesAndGroupsOfANamespaceAreAskedThere(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-p", nil)
	w.namespace("team-q", nil)
	w.pod("team-p", "web", nil)
	w.pod("team-q", "web", nil)
	rules := []policiesv1.Rule{creating("", "v1", "pods,namespaces")}
	active := policiesv1.PolicyStatus{PolicyStatus: policiesv1.PolicyStateActive}

	policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "team-p"}}
	policy.Spec.Module, policy.Spec.Rules = "registry://registry.example.com/one:1", rules
	w.create(policy)
	policy.Status = active
	w.updateStatus(policy)
	w.double.judge("kw.ap.team-p.one", allow)

	group := &policiesv1.AdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "two", Namespace: "team-p"}}
	group.Spec.Rules, group.Spec.Expression, group.Spec.Message = rules, "a()", "refused"
	group.Spec.Policies = map[string]policiesv1.GroupMember{"a": {Module: "registry://registry.example.com/a:1"}}
	w.create(group)
	group.Status = active
	w.updateStatus(group)
	w.double.judge("kw.apg.team-p.two", func(*unstructured.Unstructured) (bool, string) { return false, "refused" })

	clusterGroup := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "three"}}
	clusterGroup.Spec.Rules = []policiesv1.Rule{creating("", "v1", "pods")}
	clusterGroup.Spec.Expression, clusterGroup.Spec.Message = "a()", "refused"
	clusterGroup.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{"a": {GroupMember: policiesv1.GroupMember{Module: "registry://registry.example.com/a:1"}}}
	w.create(clusterGroup)
	clusterGroup.Status = active
	w.updateStatus(clusterGroup)
	w.double.judge("kw.capg.three", allow)

	w.mustScan()
	want := map[string][]string{
		"Pod/team-p/web": {"kw.ap.team-p.one pass", "kw.apg.team-p.two fail refused", "kw.capg.three pass"},
		"Pod/team-q/web": {"kw.capg.three pass"},
	}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if !strings.Contains(w.logs.String(), "namespaces: OutsideNamespace") {
		t.Errorf("the log does not say that namespaces are left out:\n%s", w.logs)
	}
}

func TestTargetsLimitAScan(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-f", nil)
	w.namespace("team-g", nil)
	w.pod("team-f", "web", nil)
	w.pod("team-g", "web", nil)
	w.pod("kubewarden", "web", nil)
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods,namespaces"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.AllowInsideAdmissionControllerNamespace = true
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{"team-f", "team-g", "kubewarden"},
		}}}
	})
	cases := map[string]struct {
		target Target
		change func(*Config)
		want   []string
	}{
		"one namespace":            {target: Target{Namespace: "team-f"}, want: []string{"Pod/team-f/web"}},
		"the operator's namespace": {target: Target{Namespace: "kubewarden"}, want: []string{"Pod/kubewarden/web"}},
		"an ignored namespace that is asked for": {
			target: Target{Namespace: "team-g"}, change: func(c *Config) { c.IgnoreNamespaces = []string{"team-g"} }, want: []string{"Pod/team-g/web"},
		},
		"the cluster": {target: Target{ClusterOnly: true}, want: []string{"Namespace//kubewarden", "Namespace//team-f", "Namespace//team-g"}},
		"all but one": {
			change: func(c *Config) { c.IgnoreNamespaces = []string{"team-g"} },
			want:   []string{"Namespace//kubewarden", "Namespace//team-f", "Namespace//team-g", "Pod/kubewarden/web", "Pod/team-f/web"},
		},
		"nothing is stored": {change: func(c *Config) { c.DisableStore = true }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w.removeReports()
			if _, err := w.scan(environment.Config, tc.target, tc.change); err != nil {
				t.Fatal(err)
			}
			var got []string
			for object, lines := range w.policyReports() {
				if len(lines) > 0 {
					got = append(got, object)
				}
			}
			if diff := cmp.Diff(tc.want, got, sorted()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := w.scan(environment.Config, Target{Namespace: "absent"}, nil); err == nil || !strings.Contains(err.Error(), `get namespace absent: namespaces "absent" not found`) {
		t.Errorf("error = %v", err)
	}
}

func TestAPolicyServerThatDoesNotAnswerYieldsErrors(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-n", nil)
	w.pod("team-n", "web", nil)
	w.policy("all", creating("", "v1", "pods"), nil)
	w.double.Close()
	w.mustScan()
	want := map[string][]string{"Pod/team-n/web": {"kw.cap.all error dial tcp: connect: connection refused"}}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	before := w.revisions()
	w.mustScan()
	if diff := cmp.Diff(before, w.revisions()); diff != "" {
		t.Errorf("it still does not answer, yet reports were written (-before +after):\n%s", diff)
	}
}

func TestAScanThatIsInterruptedDeletesNothing(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-o", nil)
	w.pod("team-o", "web", nil)
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods"), nil)
	w.mustScan()
	before := w.policyReports()

	ctx, interrupt := context.WithCancel(t.Context())
	w.ctx = ctx
	w.double.judge("kw.cap.all", func(*unstructured.Unstructured) (bool, string) {
		interrupt()
		return false, "no"
	})
	if _, err := w.scan(environment.Config, Target{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if diff := cmp.Diff(before, w.policyReports()); diff != "" {
		t.Errorf("reports (-before +after):\n%s", diff)
	}
}
