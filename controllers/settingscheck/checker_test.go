package settingscheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	namespace = "kubewarden"
	podName   = "policy-server-default-1"
)

var digest = "sha256:" + strings.Repeat("ab", 32)

// authority is an Authority with an authority of its own.
type authority struct {
	pair certs.Pair
	own  *tls.Certificate
	err  error
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	pair, err := certs.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made := &authority{pair: pair}
	made.own = made.issue(t, certs.Claim{URI: contract.OperatorIdentity})
	return made
}

func (a *authority) issue(t *testing.T, claim certs.Claim) *tls.Certificate {
	t.Helper()
	pair, err := certs.Issue(a.pair, claim, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &loaded
}

func (a *authority) CABundle(context.Context) ([]byte, error) { return a.pair.Certificate, a.err }

func (a *authority) OperatorCertificate(context.Context) (*tls.Certificate, error) { return a.own, nil }

// replica answers in the place of a policy server's replica, and remembers what it was asked.
type replica struct {
	server *httptest.Server
	status int
	body   string
	hold   chan struct{} // when not nil, an answer waits for it

	mutex sync.Mutex
	asked []string // "<path> <query's name> <body>"
}

func startReplica(t *testing.T, authority *authority, name string) *replica {
	t.Helper()
	r := &replica{status: http.StatusOK, body: `{"valid":true}`}
	r.server = httptest.NewUnstartedServer(r)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authority.pair.Certificate)
	r.server.TLS = &tls.Config{
		Certificates: []tls.Certificate{*authority.issue(t, certs.Claim{DNSName: name})},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	return r
}

func (r *replica) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mutex.Lock()
	timeout, err := time.ParseDuration(request.URL.Query().Get("timeout"))
	if err != nil || timeout > limit || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/json" {
		r.asked = append(r.asked, fmt.Sprintf("%s with timeout %s", request.Method, request.URL.RawQuery))
	}
	r.asked = append(r.asked, request.URL.Path+" "+string(body))
	r.mutex.Unlock()
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-request.Context().Done():
		}
	}
	writer.WriteHeader(r.status)
	_, _ = io.WriteString(writer, r.body)
}

// pod is the Pod of the replica.
func (r *replica) pod(t *testing.T) *corev1.Pod {
	t.Helper()
	host, port, err := net.SplitHostPort(r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: podName, Labels: render.PolicyServerLabels("default")},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "policy-server-default", Ports: []corev1.ContainerPort{{Name: render.PortName, ContainerPort: int32(number)}},
		}}},
		Status: corev1.PodStatus{PodIP: host, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// served is what the replicas have and report: by ID, each with the module's digest pinned.
func served(t *testing.T, policies contract.Policies) []client.Object {
	t.Helper()
	encoded, err := contract.EncodePolicies(policies)
	if err != nil {
		t.Fatal(err)
	}
	report := contract.Report{Contract: contract.Version, StartTime: time.Now().UTC().Format(time.RFC3339Nano), Policies: map[string]contract.Served{}}
	for id, entry := range policies {
		revision, err := contract.Revision(entry, entry.PinnedDigest())
		if err != nil {
			t.Fatal(err)
		}
		report.Policies[id] = contract.Served{Revision: revision, ModuleDigest: contract.ShortDigest(entry.PinnedDigest())}
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	return []client.Object{
		&policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: contract.ConfigMapName("default"), UID: "1"},
			Data:       map[string]string{contract.KeyPolicies: string(encoded)},
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: contract.ReportConfigMapName("default"), UID: "2"},
			Data:       map[string]string{podName: string(text)},
		},
	}
}

func newChecker(t *testing.T, authority Authority, objects ...client.Object) *Checker {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, policiesv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return New(Config{
		Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		Authority: authority, Configured: &configured.Reader{}, Reports: &replicas.Reports{}, Render: render.Config{Namespace: namespace},
	})
}

func policy(name, module, settings string) *policiesv1.ClusterAdmissionPolicy {
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "policy-" + "uid"}}
	policy.Spec.PolicyServer, policy.Spec.Module = "default", module
	policy.Spec.Settings.Raw = []byte(settings)
	return policy
}

// entryOf is the entry of a policy with its module pinned.
func entryOf(t *testing.T, policy policiesv1.Policy) contract.Entry {
	t.Helper()
	_, entry, err := render.Entry(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	return render.Pin(entry, map[string]string{"": digest, "a": digest, "b": strings.ReplaceAll(digest, "ab", "cd")})
}

func TestCheck(t *testing.T) {
	const serverName = "policy-server-default.kubewarden.svc"
	old := policy("one", "registry://example.com/one:v1", `{"n":1}`)
	changed := policy("one", "registry://example.com/one:v1", `{"n":2}`)
	asked := "/validate-settings/" + digest + ` {"policyID":"kw.cap.one","settings":{"n":2},"hostCapabilities":["*"]}`
	sibling := policy("two", "registry://example.com/one:v1", `{"n":2}`)
	sibling.UID = "two"
	askedOfSibling := strings.ReplaceAll(asked, "cap.one", "cap.two")
	resolved := sibling.DeepCopy()
	resolved.Annotations = map[string]string{policiesv1.AnnotationRefresh: "now"}
	mode := old.DeepCopy()
	mode.Spec.Mode = policiesv1.PolicyModeMonitor
	moved := policy("one", "registry://example.com/other:v1", `{"n":1}`)
	elsewhere := policy("one", "registry://example.com/one:v1", `{"n":2}`)
	elsewhere.Spec.PolicyServer = "absent"

	for name, tc := range map[string]struct {
		before, after policiesv1.Policy
		status        int
		body          string
		serverName    string
		change        func(*authority, *corev1.Pod)
		wantAsked     []string
		wantRefusal   string
		wantWarning   string
	}{
		"valid":   {before: old, after: changed, wantAsked: []string{asked}},
		"invalid": {before: old, after: changed, body: `{"valid":false,"message":"n is 2"}`, wantAsked: []string{asked}, wantRefusal: "spec.settings: Invalid value: Policy settings are invalid: n is 2 (said by module " + digest + ")"},
		"a new policy": {
			after: sibling, body: `{"valid":false,"message":"n is 2"}`, wantAsked: []string{askedOfSibling},
			wantRefusal: "which registry://example.com/one:v1 stood for when it was loaded; to have it resolved again, set the annotation kubewarden.io/refresh to a new value",
		},
		"a new policy that is to be resolved anew": {after: resolved},
		"nothing about settings has changed":       {before: old, after: mode},
		"a module that nobody has":                 {before: old, after: moved},
		"a server that does not exist":             {before: old, after: elsewhere},
		"no replica is ready":                      {before: old, after: changed, change: func(_ *authority, pod *corev1.Pod) { pod.Status.Conditions = nil }},

		"no longer loaded":         {before: old, after: changed, status: 404, body: `{"message":"no module of digest x is loaded"}`, wantAsked: []string{asked}, wantWarning: "spec.settings was not checked: replica " + podName + " answers with status 404: no module of digest x is loaded"},
		"overloaded":               {before: old, after: changed, status: 503, body: `{"message":"the policy server is overloaded: queue full"}`, wantAsked: []string{asked}, wantWarning: "503: the policy server is overloaded"},
		"refused":                  {before: old, after: changed, status: 403, wantAsked: []string{asked}, wantWarning: "answers with status 403"},
		"elsewhere":                {before: old, after: changed, status: 307, wantAsked: []string{asked}, wantWarning: "answers with status 307"},
		"no JSON":                  {before: old, after: changed, body: `<html>`, wantAsked: []string{asked}, wantWarning: "cannot be read"},
		"no answer":                {before: old, after: changed, body: `{}`, wantAsked: []string{asked}, wantWarning: "cannot be read"},
		"an answer without end":    {before: old, after: changed, body: `{"valid":false,"message":"` + strings.Repeat("x", maxAnswerBytes) + `"}`, wantAsked: []string{asked}, wantWarning: "cannot be read"},
		"a long message":           {before: old, after: changed, status: 500, body: `{"message":"` + strings.Repeat("ü", 999) + `"}`, wantAsked: []string{asked}, wantWarning: "üüü..."},
		"another server":           {before: old, after: changed, serverName: "policy-server-other.kubewarden.svc", wantWarning: "call replica " + podName + ": tls: failed to verify certificate"},
		"nobody at the address":    {before: old, after: changed, change: func(_ *authority, pod *corev1.Pod) { pod.Spec.Containers[0].Ports[0].ContainerPort = 1 }, wantWarning: "call replica " + podName + ": dial tcp"},
		"nothing is published yet": {before: old, after: changed, change: func(authority *authority, _ *corev1.Pod) { authority.err = certs.ErrNotPublished }, wantWarning: "the settings were not checked: no certificate authority is published yet"},
	} {
		t.Run(name, func(t *testing.T) {
			authority := newAuthority(t)
			replica := startReplica(t, authority, orElse(tc.serverName, serverName))
			replica.status, replica.body = orElse(tc.status, http.StatusOK), orElse(tc.body, `{"valid":true}`)
			pod := replica.pod(t)
			if tc.change != nil {
				tc.change(authority, pod)
			}
			checker := newChecker(t, authority, append(served(t, contract.Policies{"kw.cap.one": entryOf(t, old)}), pod)...)
			refused, warnings := checker.Check(t.Context(), tc.before, tc.after)
			if diff := cmp.Diff(tc.wantAsked, replica.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if got := fmt.Sprint(refused.ToAggregate()); !strings.Contains(got, orElse(tc.wantRefusal, "<nil>")) {
				t.Errorf("refused with %s, want %q", got, tc.wantRefusal)
			}
			checkWarnings(t, warnings, tc.wantWarning)
		})
	}
}

// checkWarnings wants a part in the warnings, or none for "".
func checkWarnings(t *testing.T, warnings []string, want string) {
	t.Helper()
	if (len(warnings) > 0) != (want != "") || !strings.Contains(strings.Join(warnings, "\n"), want) {
		t.Errorf("got warnings %q, want %q", warnings, want)
	}
	for _, warning := range warnings {
		if len(warning) > maxWarningBytes {
			t.Errorf("a warning has %d bytes", len(warning))
		}
	}
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func TestCheckAsksForEachMemberOfAGroup(t *testing.T) {
	group := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "g", UID: "g"}}
	group.Spec.PolicyServer, group.Spec.Expression, group.Spec.Message = "default", "a() && b()", "no"
	member := func(module, settings string) policiesv1.ContextAwareGroupMember {
		member := policiesv1.ContextAwareGroupMember{}
		member.Module, member.Settings.Raw = module, []byte(settings)
		member.ContextAwareResources = []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"}}
		return member
	}
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{"a": member("registry://example.com/a:v1", `{}`), "b": member("registry://example.com/b:v1", `{}`)}
	changed := group.DeepCopy()
	changed.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
		"a": member("registry://example.com/a:v1", `{"x":1}`), "b": member("registry://example.com/b:v1", `{}`), "c": member("registry://example.com/b:v1", `{"y":1}`),
	}
	authority := newAuthority(t)
	replica := startReplica(t, authority, "policy-server-default.kubewarden.svc")
	replica.body = `{"valid":false,"message":"no good"}`
	checker := newChecker(t, authority, append(served(t, contract.Policies{"kw.capg.g": entryOf(t, group)}), replica.pod(t))...)
	refused, warnings := checker.Check(t.Context(), group, changed)
	other := strings.ReplaceAll(digest, "ab", "cd")
	wantAsked := []string{
		"/validate-settings/" + digest + ` {"policyID":"kw.capg.g/a","settings":{"x":1},"contextAwareResources":[{"apiVersion":"v1","kind":"Pod"}],"hostCapabilities":["*"]}`,
		"/validate-settings/" + other + ` {"policyID":"kw.capg.g/c","settings":{"y":1},"contextAwareResources":[{"apiVersion":"v1","kind":"Pod"}],"hostCapabilities":["*"]}`,
	}
	if diff := cmp.Diff(wantAsked, replica.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	fields := make([]string, 0, len(refused))
	for _, failure := range refused {
		fields = append(fields, failure.Field)
	}
	if want := []string{"spec.policies[a].settings", "spec.policies[c].settings"}; !slices.Equal(fields, want) || len(warnings) > 0 {
		t.Errorf("refused are %q with warnings %q, want %q and none", fields, warnings, want)
	}
}

// A guest that takes its time, and a reader that fails, cost a warning and no more than the limit.
func TestCheckIsBounded(t *testing.T) {
	authority := newAuthority(t)
	replica := startReplica(t, authority, "policy-server-default.kubewarden.svc")
	replica.hold = make(chan struct{})
	old, changed := policy("one", "registry://example.com/one:v1", `{"n":1}`), policy("one", "registry://example.com/one:v1", `{"n":2}`)
	checker := newChecker(t, authority, append(served(t, contract.Policies{"kw.cap.one": entryOf(t, old)}), replica.pod(t))...)
	began := time.Now()
	refused, warnings := checker.Check(t.Context(), old, changed)
	if took := time.Since(began); took > limit+time.Second {
		t.Errorf("it took %s, want about %s", took, limit)
	}
	if len(refused) > 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "deadline exceeded") {
		t.Errorf("got %v and warnings %q, want one about the deadline", refused, warnings)
	}
	close(replica.hold)
}

type brokenReader struct{ client.Reader }

func (brokenReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("the caches are not filled")
}

func TestCheckWarnsWhenItCannotRead(t *testing.T) {
	checker := newChecker(t, newAuthority(t))
	checker.Client = brokenReader{checker.Client}
	refused, warnings := checker.Check(t.Context(), nil, policy("one", "m", `{}`))
	if len(refused) > 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "the caches are not filled") {
		t.Errorf("got %v and warnings %q, want one about the reader", refused, warnings)
	}
}
