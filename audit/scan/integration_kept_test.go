//go:build integration

package scan

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// settled sets the status that the operator writes once all replicas serve a revision, and
// has the double vouch for verdicts by it.
func (w *world) settled(policy *policiesv1.ClusterAdmissionPolicy, revision string) {
	w.t.Helper()
	policy.Status = policiesv1.PolicyStatus{
		PolicyStatus: policiesv1.PolicyStateActive, ObservedGeneration: policy.Generation,
		Replicas: &policiesv1.PolicyReplicas{Ready: 2, Enforcing: 2},
		Served:   []policiesv1.ServedRevision{{Revision: revision, Replicas: 2}},
	}
	w.updateStatus(policy)
	w.double.serve("kw.cap."+policy.Name, revision)
}

// counting is the rights of an administrator whose writes are counted.
func counting() (*rest.Config, *atomic.Int64) {
	var writes atomic.Int64
	config := rest.CopyConfig(environment.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				writes.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	return config, &writes
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAnUnchangedClusterCostsNoQuestionAndNoWrite changes one thing after the other and holds
// which questions the next scan puts, and that the one after it puts none and writes nothing.
func TestAnUnchangedClusterCostsNoQuestionAndNoWrite(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-m", map[string]string{"stage": "one"})
	first := w.pod("team-m", "first", map[string]string{"app": "web"})
	w.pod("team-m", "second", nil)
	w.double.judge("kw.cap.apps", unless("app", "no apps"))
	w.double.judge("kw.cap.all", allow)
	apps := w.policy("apps", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Mode = policiesv1.PolicyModeMonitor })
	all := w.policy("all", creating("", "v1", "pods"), nil)
	w.settled(apps, "aaaaaaaaaaaa")
	w.settled(all, "bbbbbbbbbbbb")

	update := func(object client.Object) {
		t.Helper()
		if err := w.client.Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	both := func(object string) []string {
		return []string{"kw.cap.all CREATE " + object, "kw.cap.apps CREATE " + object}
	}
	steps := []struct {
		name   string
		change func()
		asked  []string
		writes int64
	}{
		{"the first scan", func() {}, []string{"kw.cap.all CREATE first", "kw.cap.all CREATE second", "kw.cap.apps CREATE first", "kw.cap.apps CREATE second"}, 2},
		{"an object", func() { first.Labels["more"] = "yes"; update(first) }, both("first"), 1},
		{"labels of the namespace", func() {
			namespace := &corev1.Namespace{}
			if err := w.client.Get(t.Context(), client.ObjectKey{Name: "team-m"}, namespace); err != nil {
				t.Fatal(err)
			}
			namespace.Labels["stage"] = "two"
			update(namespace)
		}, []string{"kw.cap.all CREATE first", "kw.cap.all CREATE second", "kw.cap.apps CREATE first", "kw.cap.apps CREATE second"}, 2},
		{"a new object", func() { w.pod("team-m", "third", nil) }, both("third"), 1},
		{"settings, on their way", func() {
			apps.Spec.Settings.Raw = []byte(`{"strict":true}`)
			update(apps)
		}, []string{"kw.cap.apps CREATE first", "kw.cap.apps CREATE second", "kw.cap.apps CREATE third"}, 0},
		{"settings, served", func() { w.settled(apps, "cccccccccccc") }, []string{"kw.cap.apps CREATE first", "kw.cap.apps CREATE second", "kw.cap.apps CREATE third"}, 3},
		{"a module, in the same version", func() { w.settled(all, "dddddddddddd") }, []string{"kw.cap.all CREATE first", "kw.cap.all CREATE second", "kw.cap.all CREATE third"}, 3},
		{"the status of a policy alone", func() {
			all.Status.ModuleDigest = "sha256:0123456789ab"
			w.updateStatus(all)
		}, nil, 0},
		{"the mode, which the report shows", func() {
			apps.Spec.Mode = policiesv1.PolicyModeProtect
			update(apps)
			w.settled(apps, "cccccccccccc")
		}, nil, 3},
		{"rules that leave the objects out", func() {
			apps.Spec.Rules = []policiesv1.Rule{creating("apps", "v1", "deployments")}
			update(apps)
			w.settled(apps, "cccccccccccc")
		}, nil, 3},
	}
	for _, step := range steps {
		step.change()
		rights, writes := counting()
		if _, err := w.scan(rights, Target{}, nil); err != nil {
			t.Fatal(err)
		}
		asked := w.double.questions()
		if diff := cmp.Diff(step.asked, asked, cmpopts.EquateEmpty()); diff != "" || writes.Load() != step.writes {
			t.Errorf("%s: %d writes, want %d; asked (-want +got):\n%s", step.name, writes.Load(), step.writes, diff)
		}
		if step.name == "settings, on their way" {
			continue // asked until they are served
		}
		rights, writes = counting()
		summary, err := w.scan(rights, Target{}, nil)
		if asked := w.double.questions(); err != nil || len(asked) > 0 || writes.Load() != 0 || summary.Kept == 0 {
			t.Errorf("%s, the scan after: asked %q, %d writes, kept %d, error %v", step.name, asked, writes.Load(), summary.Kept, err)
		}
	}
}

// TestAScanThatIsEndedEarlyLosesNothing ends a scan in the middle of its questions. The next
// one keeps what was written, asks for the rest, and all reports are there.
func TestAScanThatIsEndedEarlyLosesNothing(t *testing.T) {
	const pods = 12
	w := newWorld(t)
	w.namespace("team-n", nil)
	want := map[string][]string{}
	for i := range pods {
		name := fmt.Sprintf("pod-%02d", i)
		w.pod("team-n", name, nil)
		want["Pod/team-n/"+name] = []string{"kw.cap.all pass"}
	}
	all := w.policy("all", creating("", "v1", "pods"), nil)
	w.settled(all, "aaaaaaaaaaaa")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered atomic.Int64
	w.double.judge("kw.cap.all", func(*unstructured.Unstructured) (bool, string) {
		if answered.Add(1) == pods/2 {
			cancel()
		}
		return true, ""
	})
	w.ctx = ctx
	one := func(c *Config) { c.ParallelResources = 1 }
	if _, err := w.scan(environment.Config, Target{}, one); err == nil {
		t.Fatal("a scan that is ended early is an error")
	}
	w.double.questions()
	left := len(w.revisions())
	if left == 0 || left >= pods {
		t.Fatalf("%d reports were written, want some and not all: the test proves nothing", left)
	}
	before := w.revisions()

	w.ctx = t.Context()
	summary := w.mustScan()
	if asked := w.double.questions(); len(asked) != pods-left || summary.Kept != left || summary.Reports[report.Created] != pods-left {
		t.Errorf("asked %d, kept %d, %v; want %d kept", len(asked), summary.Kept, summary.Reports, left)
	}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	after := w.revisions()
	for name, revision := range before {
		if after[name] != revision {
			t.Errorf("report %s was written again", name)
		}
	}
}
