//go:build integration

package scan

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

func TestReportsOfAKindThatCannotBeListedStay(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-h", nil)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "password", Namespace: "team-h"}})
	w.pod("team-h", "web", nil)
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods,secrets"), nil)
	w.mustScan()
	want := map[string][]string{"Secret/team-h/password": {"kw.cap.all pass"}, "Pod/team-h/web": {"kw.cap.all pass"}}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Fatalf("reports (-want +got):\n%s", diff)
	}

	summary, err := w.scan(w.limited("scanner"), Target{}, nil)
	if err != nil {
		t.Errorf("a missing right is not an error of the scan: %v", err)
	}
	unlisted := map[string]bool{}
	for _, u := range summary.Unlisted {
		unlisted[u.Resource+" in "+u.Namespace] = true
	}
	if !unlisted["secrets in team-h"] || !strings.Contains(w.logs.String(), "cannot list resource") {
		t.Errorf("unlisted %v, log:\n%s", unlisted, w.logs)
	}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports after a scan that may not list secrets (-want +got):\n%s", diff)
	}
}

// An answer with the whole report would be encoded and decoded for nobody.
func TestReportsAreNotSentBackWhenTheyAreWritten(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-t", nil)
	w.pod("team-t", "web", nil)
	w.create(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "slow"}, Provisioner: "example.com/slow"})
	w.policy("all", creating("", "v1", "pods"), func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Rules = append(p.Spec.Rules, creating("storage.k8s.io", "v1", "storageclasses"))
	})
	deny := func(*unstructured.Unstructured) (bool, string) { return false, "no" }
	for _, kind := range report.Kinds() {
		received := &writeAnswers{}
		rights := rest.CopyConfig(environment.Config)
		rights.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(request *http.Request) (*http.Response, error) { return received.of(next, request) })
		})
		for _, verdict := range []verdict{allow, deny} {
			w.double.judge("kw.cap.all", verdict)
			if _, err := w.scan(rights, Target{}, func(c *Config) { c.Store = w.store(rights, kind) }); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(map[string]int{"POST PartialObjectMetadata": 2, "PUT PartialObjectMetadata": 2}, received.byKind); diff != "" {
			t.Errorf("answers to writes of %s (-want +got):\n%s", kind, diff)
		}
	}
}

// writeAnswers are what an API server has answered to those who write, by method and kind.
type writeAnswers struct {
	mu     sync.Mutex
	byKind map[string]int
}

func (a *writeAnswers) of(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if err != nil || request.Method != http.MethodPost && request.Method != http.MethodPut {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = response.Body.Close()
	}
	answered := metav1.TypeMeta{}
	if err == nil {
		err = json.Unmarshal(body, &answered)
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKind == nil {
		a.byKind = map[string]int{}
	}
	a.byKind[request.Method+" "+answered.Kind]++
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// limited is a user with upstream's rights of a scanner: view, the policies, the reports.
func (w *world) limited(name string) *rest.Config {
	w.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces", "pods", "services"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"policies.kubewarden.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"wgpolicyk8s.io", "openreports.io"}, Resources: []string{"*"}, Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}},
	}}
	w.create(role)
	w.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})
	user, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return user.Config()
}

func TestAReportThatIsNotOursIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-i", nil)
	pod := w.pod("team-i", "web", nil)
	foreign := &v1alpha2.PolicyReport{
		ObjectMeta: metav1.ObjectMeta{Name: string(pod.UID), Namespace: "team-i", Labels: map[string]string{"app.kubernetes.io/managed-by": "kyverno"}},
		Results:    []v1alpha2.PolicyReportResult{{Policy: "theirs", Result: v1alpha2.StatusPass}},
	}
	w.create(foreign)
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods"), nil)
	for range 2 {
		w.mustScan()
		stored := &v1alpha2.PolicyReport{}
		if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(foreign), stored); err != nil {
			t.Fatal(err)
		}
		if stored.ResourceVersion != foreign.ResourceVersion {
			t.Errorf("the report was written: %+v", stored)
		}
		if !strings.Contains(w.logs.String(), "it is left alone") {
			t.Errorf("the log does not say so:\n%s", w.logs)
		}
	}
}

func TestWhatOthersPutOnAReportStays(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-j", nil)
	pod := w.pod("team-j", "web", nil)
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods"), nil)
	w.mustScan()
	stored := &v1alpha2.PolicyReport{}
	key := client.ObjectKey{Namespace: "team-j", Name: string(pod.UID)}
	if err := w.client.Get(t.Context(), key, stored); err != nil {
		t.Fatal(err)
	}
	stored.Labels["team"], stored.Annotations = "a", map[string]string{"note": "seen"}
	if err := w.client.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	w.double.judge("kw.cap.all", func(*unstructured.Unstructured) (bool, string) { return false, "no" })
	w.mustScan()
	if err := w.client.Get(t.Context(), key, stored); err != nil {
		t.Fatal(err)
	}
	if stored.Labels["team"] != "a" || stored.Annotations["note"] != "seen" || stored.Labels["kubewarden.io/audit-scanner-run-uid"] != "run-2" || stored.Summary.Fail != 1 {
		t.Errorf("labels %v, annotations %v, summary %+v", stored.Labels, stored.Annotations, stored.Summary)
	}
}

func TestOutputLogsEveryReport(t *testing.T) {
	w := newWorld(t)
	w.namespace("team-l", nil)
	w.pod("team-l", "web", nil)
	w.double.judge("kw.cap.all", allow)
	w.policy("all", creating("", "v1", "pods"), nil)
	_, err := w.scan(environment.Config, Target{Namespace: "team-l"}, func(c *Config) { c.DisableStore, c.OutputScan = true, true })
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(w.logs.String()) {
		entry := struct{ Msg, Report string }{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Msg != "PolicyReport summary" {
			continue
		}
		logged := v1alpha2.PolicyReport{}
		if err := json.Unmarshal([]byte(entry.Report), &logged); err != nil || logged.Scope.Name != "web" || logged.Summary.Pass != 1 || logged.Kind != "PolicyReport" {
			t.Errorf("report %+v, error %v", logged, err)
		}
		return
	}
	t.Errorf("no report in the log:\n%s", w.logs)
}
