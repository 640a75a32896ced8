//go:build integration

package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// life is what a process has until it is killed: it counts what the process writes to the
// API server, and ends at one of the writes.
type life struct {
	// endsAt is the number of the write at which it ends; 0 for never.
	endsAt int
	// after says that the write takes effect and only its answer is never read.
	after bool
	// end is called when it ends.
	end context.CancelFunc

	mu     sync.Mutex
	over   bool
	writes int
	// byMethod counts the writes of a life that does not end.
	byMethod map[string]int
}

var errKilled = errors.New("the process is dead")

// mortal are the rights of config for as long as a life lasts.
func (l *life) mortal(config *rest.Config) *rest.Config {
	mortal := rest.CopyConfig(config)
	// There are many scans, and each looks into the namespaces of all other tests.
	mortal.QPS = -1
	mortal.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) { return l.roundTrip(next, request) })
	})
	return mortal
}

func (l *life) roundTrip(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	last, over := l.count(request.Method)
	switch {
	case over:
		return nil, errKilled
	case !last:
		return next.RoundTrip(request)
	case l.after:
		response, err := next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		if err := response.Body.Close(); err != nil {
			return nil, err
		}
	}
	l.end()
	return nil, errKilled
}

func (l *life) count(method string) (last, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false, true
	}
	if method == http.MethodGet {
		return false, false
	}
	l.writes++
	if l.byMethod == nil {
		l.byMethod = map[string]int{}
	}
	l.byMethod[method]++
	l.over = l.writes == l.endsAt
	return l.over, false
}

// live scans for as long as a life lasts, one object after the other.
func (w *world) live(l *life) error {
	w.t.Helper()
	ctx, end := context.WithCancel(w.t.Context())
	defer end()
	l.end, w.ctx = end, ctx
	_, err := w.scan(l.mortal(environment.Config), Target{}, func(c *Config) {
		c.ParallelNamespaces, c.ParallelResources, c.ParallelPolicies = 1, 1, 1
		c.IgnoreNamespaces = append(c.IgnoreNamespaces, "team-w")
	})
	return err
}

// snapshot is what all reports say, without when they were written.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	said := map[string]string{}
	for _, kind := range reportKinds() {
		for _, item := range w.list(kind).Items {
			name := fmt.Sprintf("%s %s/%s", kind.Kind, item.GetNamespace(), item.GetName())
			labels := item.GetLabels()
			delete(labels, "kubewarden.io/audit-scanner-run-uid")
			results, _, err := unstructured.NestedSlice(item.Object, "results")
			if err != nil {
				w.t.Fatal(err)
			}
			for _, result := range results {
				if fields, is := result.(map[string]any); is {
					delete(fields, "timestamp")
				}
			}
			encoded, err := json.Marshal([]any{labels, item.GetAnnotations(), item.GetOwnerReferences(), item.Object["scope"], item.Object["summary"], results})
			if err != nil {
				w.t.Fatal(err)
			}
			said[name] = string(encoded)
		}
	}
	return said
}

// restore brings the reports back to what they were.
func (w *world) restore(reports []unstructured.Unstructured) {
	w.t.Helper()
	w.removeReports()
	for i := range reports {
		copied := reports[i].DeepCopy()
		copied.SetResourceVersion("")
		copied.SetUID("")
		copied.SetManagedFields(nil)
		if err := w.client.Create(w.t.Context(), copied); err != nil {
			w.t.Fatal(err)
		}
	}
}

// unsettled makes a cluster in which a scan has everything to do that there is: reports to
// create, to replace, to leave, and to delete for each reason. It gives all reports.
func (w *world) unsettled() []unstructured.Unstructured {
	w.t.Helper()
	for _, namespace := range []string{"team-v", "team-v2", "team-w"} {
		w.namespace(namespace, nil)
	}
	same, changed := w.pod("team-v", "same", nil), w.pod("team-v", "changed", nil)
	fresh := w.pod("team-v2", "fresh", nil)
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "slow"}, Provisioner: "example.com/slow"}
	w.create(class)
	w.double.judge("kw.cap.all", unless("changed", "changed"))
	w.settled(w.policy("all", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Rules = append(p.Spec.Rules, creating("storage.k8s.io", "v1", "storageclasses"))
	}), "aaaaaaaaaaaa")
	w.mustScan()
	for _, object := range []client.Object{changed, class} {
		object.SetLabels(map[string]string{"changed": "yes"})
		if err := w.client.Update(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
	w.delete(&v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Namespace: "team-v2", Name: string(fresh.UID)}})

	ours := map[string]string{"app.kubernetes.io/managed-by": "kubewarden"}
	gone := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Name: "gone"}
	for _, object := range []client.Object{
		&v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Namespace: "team-v", Name: "stale", Labels: ours}, Scope: gone},
		&v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Namespace: "team-w", Name: "ignored", Labels: ours}, Scope: gone},
		&v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Namespace: "team-v", Name: "theirs"}},
		&v1alpha2.ClusterPolicyReport{ObjectMeta: metav1.ObjectMeta{Name: "stale", Labels: ours}, Scope: gone},
		w.former("team-v", string(same.UID), ours),
		w.former("team-v", string(changed.UID), ours),
		w.former("team-v2", string(fresh.UID), ours),
		w.former("team-w", "ignored", ours),
		w.former("", "cluster", ours),
		w.former("team-v", "theirs", nil),
	} {
		if err := w.client.Create(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.everyReport()
}

// everyReport is of both APIs, ours and those of others.
func (w *world) everyReport() []unstructured.Unstructured {
	w.t.Helper()
	kinds := reportKinds()
	every := make([]unstructured.Unstructured, 0, len(kinds))
	for _, kind := range kinds {
		every = append(every, w.list(kind).Items...)
	}
	return every
}

// TestAScanThatIsKilledAtAnyWriteIsMadeGoodByTheNext kills a scan at each of its writes,
// before and after the write took effect. What is there then was there before or is what
// should be; and the next scan makes what one makes that nobody killed.
func TestAScanThatIsKilledAtAnyWriteIsMadeGoodByTheNext(t *testing.T) {
	w := newWorld(t)
	reports := w.unsettled()
	before := w.snapshot()
	undisturbed := &life{}
	if err := w.live(undisturbed); err != nil {
		t.Fatal(err)
	}
	want := w.snapshot()
	if diff := cmp.Diff(map[string]int{http.MethodPost: 1, http.MethodPut: 2, http.MethodDelete: 8}, undisturbed.byMethod); diff != "" {
		t.Errorf("writes of a scan (-want +got):\n%s", diff)
	}
	if len(want) != 6 {
		t.Errorf("%d reports are left, want 4 of ours and 2 of others: %v", len(want), want)
	}
	for endsAt := 1; endsAt <= undisturbed.writes; endsAt++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, took effect: %t", endsAt, after), func(t *testing.T) {
				w.restore(reports)
				if err := w.live(&life{endsAt: endsAt, after: after}); err == nil {
					t.Error("a scan that was killed says that all is well")
				}
				checkBetween(t, before, want, w.snapshot())
				w.checkMadeGood(t, want)
			})
		}
	}
}

// checkMadeGood holds that the next scan makes what is wanted, and leaves nothing to do to
// the one after it.
func (w *world) checkMadeGood(t *testing.T, want map[string]string) {
	t.Helper()
	if err := w.live(&life{}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, w.snapshot()); diff != "" {
		t.Errorf("reports after the next scan (-want +got):\n%s", diff)
	}
	rest := &life{}
	if err := w.live(rest); err != nil || rest.writes > 0 {
		t.Errorf("a third scan writes %v; error %v", rest.byMethod, err)
	}
}

// checkBetween holds that each report is the one before or the one after, and that none is
// lost which is there both before and after.
func checkBetween(t *testing.T, before, after, got map[string]string) {
	t.Helper()
	for name, says := range got {
		if says != before[name] && says != after[name] {
			t.Errorf("%s says what it said neither before nor after:\n%s", name, says)
		}
	}
	for name := range before {
		if after[name] != "" && got[name] == "" {
			t.Errorf("%s is lost", name)
		}
	}
}
