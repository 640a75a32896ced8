//go:build integration

package scan

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// reading are the rights of an administrator whose reads are recorded, and of which one kind
// fails.
type reading struct {
	// failing is the kind of reads that fails; "" for none.
	failing string

	mu    sync.Mutex
	kinds map[string]bool
}

// kindOfRead is what is read: which resource, and whether it is a page after the first.
func kindOfRead(read *url.URL) string {
	if read.Query().Get("continue") != "" {
		return read.Path + " continued"
	}
	return read.Path
}

func (r *reading) rights() *rest.Config {
	config := rest.CopyConfig(environment.Config)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method != http.MethodGet {
				return next.RoundTrip(request)
			}
			kind := kindOfRead(request.URL)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.kinds[kind] = true
			if kind != r.failing {
				return next.RoundTrip(request)
			}
			answer := httptest.NewRecorder()
			http.Error(answer, "etcd is out of order", http.StatusInternalServerError)
			return answer.Result(), nil
		})
	})
	return config
}

// TestNothingIsDeletedBecauseSomethingCouldNotBeRead has each read of a scan fail in turn, the
// pages of lists on their own. A report about an object that is there stays, whatever it says.
func TestNothingIsDeletedBecauseSomethingCouldNotBeRead(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-ll", nil)
	for _, name := range []string{"one", "two", "three"} {
		w.pod("team-ll", name, nil)
		w.create(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "example.com/" + name})
	}
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Rules = append(p.Spec.Rules, creating("storage.k8s.io", "v1", "storageclasses"))
	})
	undisturbed := &reading{kinds: map[string]bool{}}
	w.readAndKeep(undisturbed)
	reads := []string{}
	for kind := range undisturbed.kinds {
		if isOfInterest(kind) {
			reads = append(reads, kind)
		}
	}
	slices.Sort(reads)
	for _, read := range []string{"/api/v1/namespaces/team-ll/pods continued", "/apis/storage.k8s.io/v1", "/apis/wgpolicyk8s.io/v1alpha2/namespaces/team-ll/policyreports"} {
		if !slices.Contains(reads, read) {
			t.Errorf("a scan does not read %s: %q", read, reads)
		}
	}
	for _, read := range reads {
		t.Run(read, func(t *testing.T) {
			summary := w.readAndKeep(&reading{failing: read, kinds: map[string]bool{}})
			// What is not seen because of it has a reason.
			notDiscovered, notListed := summary.SkippedByReason()[plan.ReasonNotDiscovered], summary.Unasked[plan.ReasonNotListed]
			if group := read == "/apis/storage.k8s.io/v1" || read == "/api/v1"; group != (notDiscovered > 0) {
				t.Errorf("%d policies are not audited about what is not discovered", notDiscovered)
			}
			if kind := strings.Contains(read, "/pods") || strings.Contains(read, "/storageclasses"); kind != (notListed == 1) {
				t.Errorf("%d questions are not put about what is not listed", notListed)
			}
		})
	}
}

// isOfInterest leaves out namespaces of other tests, and what the API server says of groups in
// which nothing is audited: they say nothing that others do not.
func isOfInterest(read string) bool {
	if strings.Contains(read, "/namespaces/") {
		return strings.Contains(read, "/namespaces/team-ll/")
	}
	group, isGroup := strings.CutPrefix(read, "/apis/")
	audited := []string{"storage.k8s.io/", "wgpolicyk8s.io/", "openreports.io/", "policies.kubewarden.io/", "apps/"}
	return !isGroup || slices.ContainsFunc(audited, func(prefix string) bool { return strings.HasPrefix(group, prefix) })
}

// readAndKeep scans, and holds that there is a report about each of the objects.
func (w *world) readAndKeep(r *reading) Summary {
	w.t.Helper()
	summary, err := w.scan(r.rights(), Target{}, nil)
	if r.failing == "" && err != nil {
		w.t.Error(err)
	}
	got := w.policyReports()
	for _, name := range []string{"Pod/team-ll/one", "Pod/team-ll/two", "Pod/team-ll/three", "StorageClass//one", "StorageClass//two", "StorageClass//three"} {
		if got[name] == nil {
			w.t.Errorf("when %q fails the report about %s is deleted", r.failing, name)
		}
	}
	return summary
}

// TestAReportIsDeletedAsItWasSeenOrNotAtAll holds against a real API server that what
// somebody wrote since is not deleted.
func TestAReportIsDeletedAsItWasSeenOrNotAtAll(t *testing.T) {
	cases := map[string]struct {
		meanwhile func(*world, *v1alpha2.PolicyReport)
		deleted   int
	}{
		"nothing happens":    {meanwhile: func(*world, *v1alpha2.PolicyReport) {}, deleted: 1},
		"somebody writes it": {meanwhile: func(w *world, r *v1alpha2.PolicyReport) { w.relabel(r) }},
		"somebody makes another one of the same name": {meanwhile: func(w *world, r *v1alpha2.PolicyReport) {
			w.delete(r)
			r.ObjectMeta = metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name, Labels: r.Labels}
			w.create(r)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.namespace("team-mm", nil)
			stale := &v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{Namespace: "team-mm", Name: "stale", Labels: map[string]string{"app.kubernetes.io/managed-by": "kubewarden"}}}
			w.create(stale)
			session, err := w.store(environment.Config, report.KindPolicyReport).Open(t.Context(), "team-mm")
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			tc.meanwhile(w, stale)
			deleted, err := session.Prune(t.Context(), func(schema.GroupKind) bool { return false })
			if err != nil || deleted != tc.deleted {
				t.Errorf("deleted %d, want %d; error %v", deleted, tc.deleted, err)
			}
			err = w.client.Get(t.Context(), client.ObjectKeyFromObject(stale), &v1alpha2.PolicyReport{})
			if gone := err != nil; gone != (tc.deleted == 1) {
				t.Errorf("gone: %t, error %v", gone, err)
			}
		})
	}
}

func (w *world) relabel(object client.Object) {
	w.t.Helper()
	labels := object.GetLabels()
	labels["team"] = "a"
	object.SetLabels(labels)
	if err := w.client.Update(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

// Kinds have few objects in most namespaces: the next one is listed while the questions about
// one are under way. Here the answer about an object of each kind waits for the other.
func TestAKindIsListedWhileAnotherIsAudited(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-overlap", nil)
	w.pod("team-overlap", "web", nil)
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team-overlap"}})
	kinds := []string{"pods", "configmaps"}
	came := []chan struct{}{make(chan struct{}), make(chan struct{})}
	for i, kind := range kinds {
		arrive := sync.OnceFunc(func() { close(came[i]) })
		w.double.judge("kw.cap."+kind, func(*unstructured.Unstructured) (bool, string) {
			arrive()
			<-came[1-i]
			return true, ""
		})
		w.policy(kind, creating("", "v1", kind), nil)
	}
	summary, err := w.scan(environment.Config, Target{Namespace: "team-overlap"}, nil)
	if err != nil || summary.Results[report.OutcomePass] != 2 {
		t.Errorf("summary = %+v, %v", summary, err)
	}
}
