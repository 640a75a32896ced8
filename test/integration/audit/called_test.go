//go:build integration

package audit

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/audit/scan"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// installation is what the operator adds to every webhook.
var (
	operator     = render.Config{Namespace: "kubewarden", ServiceAccount: "kubewarden-operator"}
	installation = render.Installation{Name: "kubewarden", ExemptNamespaces: []string{"exempted"}}
)

// TestWebhookIsCalledIfAndOnlyIfThePlannerAsks makes each policy of a long list a webhook, as
// the operator would, and has the API server create, update and delete, on trial, whatever
// there is, in every version. Then a scan is made. Which webhooks the API server called and
// which policies the scan asked must be the same, object by object and operation by operation,
// but for kinds that a scan leaves out on purpose because only a wildcard names them.
func TestWebhookIsCalledIfAndOnlyIfThePlannerAsks(t *testing.T) {
	if len(combinations) < 60 {
		t.Fatalf("there are %d combinations", len(combinations))
	}
	w := newWorld(t)
	ids := w.install(combinations)
	w.replayAll()
	volatile := volatileIn(w.scan())

	called, asked := w.double.called, w.double.asked
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		t.Run(name, func(t *testing.T) {
			got, want := w.of(ids[name], asked), slices.DeleteFunc(w.of(ids[name], called), func(line string) bool {
				return volatile[ids[name]] && strings.Contains(line, " Lease/")
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("called by the API server (-), asked by the scan (+):\n%s", diff)
			}
			if nothing := len(want) == 0; nothing != combinations[name].nothing {
				t.Errorf("the API server called about %v, which is not what the combination is for", want)
			}
		})
	}
	for asking, versions := range asked {
		for version := range versions {
			if w.made[asking.object] && !called[asking][version] {
				t.Errorf("%+v is asked in version %s, and called in %v", asking, version, slices.Collect(maps.Keys(called[asking])))
			}
		}
	}
}

// volatileIn are the policies that say of Leases that only a wildcard names them; there is no
// other kind like them among the objects.
func volatileIn(summary scan.Summary) map[string]bool {
	policies := map[string]bool{}
	for _, skip := range summary.Skips {
		if skip.Reason == plan.ReasonVolatile && skip.Subject == "leases.coordination.k8s.io" {
			policies[skip.PolicyID] = true
		}
	}
	return policies
}

// TestRightsOfOthersAreNotGuessed has a policy whose match condition depends on the rights of
// an account that the scanner cannot ask about: it is not asked, and that is counted.
func TestRightsOfOthersAreNotGuessed(t *testing.T) {
	w := newWorld(t)
	ids := w.install(map[string]combination{
		"rights-of-others": {rule: onMaps, change: when("!authorizer.serviceAccount('plain', 'robot').group('').resource('secrets').check('get').allowed()")},
	})
	summary := w.scan()
	if got := w.of(ids["rights-of-others"], w.double.asked); len(got) > 0 {
		t.Errorf("asked about %v", got)
	}
	if summary.Unasked[plan.ReasonAuthorizer] == 0 {
		t.Errorf("nothing is counted: %v", summary.Unasked)
	}
}

// world is an API server with objects, and a double that it and a scan call.
type world struct {
	t      *testing.T
	admin  client.Client
	asUser client.Client
	rights *rest.Config
	double *double
	// objects are there to be judged, made by their references.
	objects []client.Object
	made    map[string]bool
}

// user is by whom everything is done: it has the name under which a scan simulates.
const user = "kubewarden:audit-scanner"

func newWorld(t *testing.T) *world {
	t.Helper()
	rights := rest.CopyConfig(environment.Config)
	rights.Impersonate = rest.ImpersonationConfig{UserName: user}
	w := &world{t: t, admin: newClient(t, environment.Config), asUser: newClient(t, rights), rights: rights, double: newDouble(t), made: map[string]bool{}}
	for _, object := range grants() {
		w.ensure(object)
	}
	w.ensure(namespace("markers", nil))
	for _, object := range judged() {
		w.ensure(object)
		w.objects = append(w.objects, object)
		kind := object.GetObjectKind().GroupVersionKind().Kind
		w.made[kind+"/"+object.GetNamespace()+"/"+object.GetName()] = true
	}
	gomega.NewWithT(t).Eventually(func() error {
		return w.asUser.Create(t.Context(), configMap("markers", "allowed", nil), client.DryRunAll)
	}).WithTimeout(30 * time.Second).Should(gomega.Succeed())
	return w
}

func (w *world) ensure(object client.Object) {
	w.t.Helper()
	gvk := object.GetObjectKind().GroupVersionKind()
	if err := w.admin.Create(w.t.Context(), object); client.IgnoreAlreadyExists(err) != nil {
		w.t.Fatalf("create %s %s: %v", gvk.Kind, object.GetName(), err)
	}
	object.GetObjectKind().SetGroupVersionKind(gvk)
}

// install makes policies and their webhooks, and waits until the API server calls them. It
// returns the IDs by name.
func (w *world) install(policies map[string]combination) map[string]string {
	w.t.Helper()
	ids := map[string]string{}
	for name, c := range policies {
		policy := c.policy(name)
		if err := w.admin.Create(w.t.Context(), policy); err != nil {
			w.t.Fatalf("create policy %s: %v", name, err)
		}
		w.t.Cleanup(func() { _ = w.admin.Delete(context.WithoutCancel(w.t.Context()), policy) })
		policy.GetStatus().PolicyStatus = policiesv1.PolicyStateActive
		if err := w.admin.Status().Update(w.t.Context(), policy); err != nil {
			w.t.Fatalf("activate policy %s: %v", name, err)
		}
		id, err := render.PolicyID(policy)
		if err != nil {
			w.t.Fatal(err)
		}
		ids[name] = id
		webhook := w.webhook(policy, id)
		if err := w.admin.Create(w.t.Context(), webhook); err != nil {
			w.t.Fatalf("create the webhook of %s: %v", name, err)
		}
		w.t.Cleanup(func() { _ = w.admin.Delete(context.WithoutCancel(w.t.Context()), webhook) })
	}
	wanted := slices.Collect(maps.Values(ids))
	gomega.NewWithT(w.t).Eventually(func() []string {
		_ = w.admin.Create(w.t.Context(), configMap("markers", "marker", nil), client.DryRunAll)
		return w.double.missing(wanted)
	}).WithTimeout(time.Minute).Should(gomega.BeEmpty(), "webhooks that the API server has not read")
	return ids
}

func (c combination) policy(name string) policiesv1.Policy {
	s := policiesv1.ClusterAdmissionPolicySpec{}
	s.Module, s.Rules = "registry://registry.example.com/policies/p:1", []policiesv1.Rule{c.rule}
	if c.change != nil {
		c.change(&s)
	}
	if c.namespace == "" {
		return &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: s}
	}
	policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace}}
	policy.Spec.PolicySpec = s.PolicySpec
	return policy
}

// webhook is what the operator renders, but for where it is served; a second one beside it
// tells when the API server has read the first.
func (w *world) webhook(policy policiesv1.Policy, id string) client.Object {
	w.t.Helper()
	object, err := render.Webhook(render.WebhookInput{Config: operator, Installation: installation, Policy: policy, CABundle: w.double.authority()})
	if err != nil {
		w.t.Fatal(err)
	}
	served := func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{URL: new(w.double.URL + path + id), CABundle: w.double.authority()}
	}
	markers := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "markers"}}
	onMaps := onMaps
	rules := []admissionregistrationv1.RuleWithOperations{onMaps.RuleWithOperations()}
	switch configuration := object.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		configuration.Webhooks[0].ClientConfig = served(pathCalled)
		configuration.Webhooks = append(configuration.Webhooks, admissionregistrationv1.ValidatingWebhook{
			Name: "marker." + id + ".test", ClientConfig: served(pathInstalled), Rules: rules, NamespaceSelector: markers,
			SideEffects: new(admissionregistrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		})
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		configuration.Webhooks[0].ClientConfig = served(pathCalled)
		configuration.Webhooks = append(configuration.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name: "marker." + id + ".test", ClientConfig: served(pathInstalled), Rules: rules, NamespaceSelector: markers,
			SideEffects: new(admissionregistrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		})
	}
	return object
}

// replayAll does on trial to each object what can be done to it, in each version.
func (w *world) replayAll() {
	w.t.Helper()
	for _, object := range w.objects {
		for _, version := range versionsOf(object) {
			created := withoutIdentity(object, version)
			err := w.asUser.Create(w.t.Context(), created, client.DryRunAll)
			w.tried(err, "create", object)
			current := empty(version, object)
			if err := w.asUser.Get(w.t.Context(), client.ObjectKeyFromObject(object), current); err != nil {
				w.t.Fatal(err)
			}
			w.tried(w.asUser.Update(w.t.Context(), current, client.DryRunAll), "update", object)
			w.tried(w.asUser.Delete(w.t.Context(), current, client.DryRunAll), "delete", object)
		}
	}
}

// tried takes the end of a trial. That there is an object already is said after the webhooks
// have been called.
func (w *world) tried(err error, verb string, object client.Object) {
	w.t.Helper()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Errorf("%s %s %s/%s: %v", verb, object.GetObjectKind().GroupVersionKind().Kind, object.GetNamespace(), object.GetName(), err)
	}
}

// scan asks about everything, with all operations.
func (w *world) scan() scan.Summary {
	w.t.Helper()
	objects, err := scan.NewLister(w.rights)
	if err != nil {
		w.t.Fatal(err)
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(w.rights)
	if err != nil {
		w.t.Fatal(err)
	}
	store, err := report.NewStore(w.asUser, report.KindPolicyReport, "run")
	if err != nil {
		w.t.Fatal(err)
	}
	transport, err := scan.NewTransport(scan.TransportConfig{Insecure: true, Connections: 16})
	if err != nil {
		w.t.Fatal(err)
	}
	scanner, err := scan.NewScanner(scan.Config{
		Client: w.asUser, Objects: objects, Discovery: discoveryClient.WithLegacyWithContext(w.t.Context()),
		Asker: scan.NewAsker(scan.AskerConfig{Transport: http.RoundTripper(transport), Parallel: 16, Now: time.Now}),
		Store: store, DisableStore: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		KubewardenNamespace: operator.Namespace, PolicyServerURL: w.double.URL,
		ExemptNamespaces: installation.ExemptNamespaces, MatchCondition: w.matchCondition(), Operations: plan.Operations(),
		ParallelNamespaces: 2, ParallelResources: 4, ParallelPolicies: 4, PageSize: 100,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	summary, err := scanner.Run(w.t.Context(), scan.Target{})
	if err != nil {
		w.t.Fatal(err)
	}
	return summary
}

// matchCondition is what the operator hands to the scanner.
func (w *world) matchCondition() string {
	w.t.Helper()
	objects := render.AuditScanner(render.AuditScannerInput{Config: operator, Installation: installation, CABundle: w.double.authority()})
	for _, object := range objects {
		if data, is := object.(*corev1.ConfigMap); is && data.Data["never-lock-out.cel"] != "" {
			return data.Data["never-lock-out.cel"]
		}
	}
	w.t.Fatal("the operator hands no match condition to the scanner")
	return ""
}

// of are the questions of one policy about the objects of the test, in lines.
func (w *world) of(policy string, records map[question]map[string]bool) []string {
	var lines []string
	for q := range records {
		if q.policy == policy && w.made[q.object] {
			lines = append(lines, fmt.Sprintf("%s %s", q.operation, q.object))
		}
	}
	slices.Sort(lines)
	return lines
}
