//go:build integration

package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/matching"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// listener is a policy server, with its own handler, that notes what policies are asked.
type listener struct {
	*overloads

	mu    sync.Mutex
	heard []string
}

func (l *listener) evaluate(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error) {
	l.mu.Lock()
	l.heard = append(l.heard, policyID+" "+string(request.Document))
	l.mu.Unlock()
	name := strings.TrimPrefix(policyID, "kw.cap.")
	name, _, _ = strings.Cut(name[strings.LastIndex(name, ".")+1:], "-")
	return judges(ctx, name, request)
}

// unaware is a transport to a policy server that does not know contract.PathAudits.
type unaware struct {
	http.RoundTripper

	asked paths
}

func (u *unaware) RoundTrip(r *http.Request) (*http.Response, error) {
	u.asked.of(http.NotFoundHandler())(discard{}, r)
	if r.URL.Path == contract.PathAudits {
		return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(&bytes.Buffer{}), Request: r}, nil
	}
	return u.RoundTripper.RoundTrip(r)
}

// discard is a writer of answers that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// TestReportsAreTheSameInWhicheverWayPoliciesAreAsked scans a cluster in both ways: reports,
// results, and what each policy was asked are the same to the byte.
func TestReportsAreTheSameInWhicheverWayPoliciesAreAsked(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-together", map[string]string{"team": "together"})
	for i := range 3 {
		w.pod("team-together", fmt.Sprintf("pod-%d", i), map[string]string{"odd": fmt.Sprint(i % 2)})
	}
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "team-together"}, Data: map[string]string{"a": "<b>"}})
	w.create(&autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "scaler", Namespace: "team-together"},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}},
	})
	w.manyPolicies()

	first := w.bothWays(&unaware{})
	if first.together > 4*2 || first.alone < 100 { // so many may be under way before the answer to the first
		t.Fatalf("%d requests for several policies, %d for one: the first scan is to have no use for several", first.together, first.alone)
	}
	second := w.bothWays(nil)
	if second.together == 0 || second.together*4 > first.alone {
		t.Errorf("%d requests for several policies, %d for one", second.together, second.alone)
	}
	for name, diff := range map[string]string{
		"reports":   cmp.Diff(first.reports, second.reports),
		"summaries": cmp.Diff(first.summary, second.summary),
		"questions": cmp.Diff(first.heard, second.heard),
	} {
		if diff != "" {
			t.Errorf("%s (-one by one +together):\n%s", name, diff)
		}
	}
	creations, updates := strings.Count(strings.Join(second.heard, ""), `"operation":"CREATE"`), strings.Count(strings.Join(second.heard, ""), `"operation":"UPDATE"`)
	if updates == 0 || creations != updates+4 {
		t.Errorf("%d questions about creations and %d about updates, want as many, and 4 about a scaler", creations, updates)
	}
	for _, id := range []string{"denies-aware", "denies-group", "allows-group"} {
		if !slices.ContainsFunc(second.heard, func(question string) bool {
			asked, _, _ := strings.Cut(question, " ")
			return strings.HasSuffix(asked, id)
		}) {
			t.Errorf("nothing was asked of %s", id)
		}
	}
	if text := strings.Join(second.reports, ""); strings.Count(text, `"result":"error"`) < 5 || strings.Count(text, "verdict-basis") < 5 {
		t.Errorf("reports without errors and results to keep prove little:\n%s", text)
	}
}

// manyPolicies make more questions than one request takes, of all kinds of answers, about
// operations and versions that make other documents, and about some objects only.
func (w *world) manyPolicies() {
	w.t.Helper()
	rule := creating("", "v1", "pods,configmaps")
	rule.Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update}
	judge := func(name string, rule policiesv1.Rule, change func(*policiesv1.ClusterAdmissionPolicy)) {
		w.policy(name, rule, func(policy *policiesv1.ClusterAdmissionPolicy) {
			policy.Status.ObservedGeneration = 1
			policy.Status.Replicas = &policiesv1.PolicyReplicas{Ready: 1, Enforcing: 1}
			policy.Status.Served = []policiesv1.ServedRevision{{Revision: "0123456789ab", ModuleDigest: "sha256:" + strings.Repeat("0", 64), Replicas: 1}}
			if change != nil {
				change(policy)
			}
		})
	}
	for i := range 3 {
		for _, kind := range []string{"allows", "denies", "traps", "absent", "panics", "breaks", "loads"} {
			judge(fmt.Sprintf("%s-%d", kind, i), rule, nil)
		}
	}
	judge("allows-odd", rule, func(policy *policiesv1.ClusterAdmissionPolicy) {
		policy.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"odd": "1"}}
	})
	judge("denies-monitored", rule, func(policy *policiesv1.ClusterAdmissionPolicy) { policy.Spec.Mode = policiesv1.PolicyModeMonitor })
	for _, version := range []string{"v1", "v2"} {
		for i := range 2 {
			judge(fmt.Sprintf("denies-%s-%d", version, i), creating("autoscaling", version, "horizontalpodautoscalers"), nil)
		}
	}
	judge("denies-aware", rule, func(policy *policiesv1.ClusterAdmissionPolicy) {
		policy.Spec.ContextAwareResources = []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}}
	})
	w.groups(rule)
	own := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "denies-own", Namespace: "team-together"}}
	own.Spec.Module, own.Spec.Rules = "registry://registry.example.com/policies/own:1", []policiesv1.Rule{rule}
	w.create(own)
	own.Status.PolicyStatus = policiesv1.PolicyStateActive
	w.updateStatus(own)
}

// groups make policy groups of the cluster and of the namespace.
func (w *world) groups(rule policiesv1.Rule) {
	w.t.Helper()
	member := policiesv1.GroupMember{Module: "registry://registry.example.com/policies/member:1"}
	about := policiesv1.PolicyGroupSpec{Expression: "member()", Message: "not all of it"}
	about.Rules = []policiesv1.Rule{rule}
	wide := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "denies-group"}}
	wide.Spec.PolicyGroupSpec, wide.Spec.Policies = about, map[string]policiesv1.ContextAwareGroupMember{"member": {GroupMember: member}}
	w.create(wide)
	wide.Status.PolicyStatus = policiesv1.PolicyStateActive
	w.updateStatus(wide)
	own := &policiesv1.AdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "allows-group", Namespace: "team-together"}}
	own.Spec.PolicyGroupSpec, own.Spec.Policies = about, map[string]policiesv1.GroupMember{"member": member}
	w.create(own)
	own.Status.PolicyStatus = policiesv1.PolicyStateActive
	w.updateStatus(own)
}

// way is what came of a scan.
type way struct {
	together, alone int
	reports, heard  []string
	summary         Summary
}

// bothWays scans as if nothing had been scanned before, by way of a transport.
func (w *world) bothWays(by *unaware) way {
	w.t.Helper()
	l := &listener{overloads: &overloads{}}
	handler := server.NewHandler(server.HandlerConfig{
		Evaluator: evaluator(l.evaluate), Observer: l, MaxBodyBytes: 1 << 20, Workers: 2, QueueLimit: 100, QueueWait: time.Minute,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	var asked paths
	url := answers(w.t, asked.of(handler)).URL
	w.removeReports()
	w.now, w.runs = time.Unix(1_795_608_000, 0), 0
	summary, err := w.scan(environment.Config, Target{Namespace: "team-together"}, func(config *Config) {
		transport := http.DefaultTransport
		if by != nil {
			by.RoundTripper = transport
			transport = by
		}
		config.Asker, config.PolicyServerURL = impatient(transport), url
		config.Asker.busyFor = 0
		config.Operations = []matching.Operation{matching.Create, matching.Update}
	})
	if err != nil {
		w.t.Fatalf("scan: %v\n%s", err, w.logs)
	}
	slices.Sort(l.heard)
	found := way{together: asked.count(contract.PathAudits), summary: summary, heard: l.heard, reports: w.reportTexts()}
	found.alone = len(asked.seen) - found.together
	if by != nil {
		found.together = by.asked.count(contract.PathAudits)
	}
	return found
}

// reportTexts are the reports in JSON, without what an API server adds.
func (w *world) reportTexts() (texts []string) {
	w.t.Helper()
	for _, item := range w.list(v1alpha2.SchemeGroupVersion.WithKind("PolicyReport")).Items {
		item.SetUID("")
		item.SetResourceVersion("")
		item.SetCreationTimestamp(metav1.Time{})
		item.SetManagedFields(nil)
		text, err := json.Marshal(item.Object)
		if err != nil {
			w.t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}
