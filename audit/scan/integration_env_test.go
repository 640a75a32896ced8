//go:build integration

package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/config/crd/reports"
)

// environment is a real API server, started once for all tests of the package.
var environment *envtest.Environment

func TestMain(m *testing.M) {
	os.Exit(withEnvironment(m))
}

func withEnvironment(m *testing.M) int {
	definitions, err := reportDefinitions()
	if err != nil {
		fmt.Fprintln(os.Stderr, "read the definitions of reports:", err)
		return 1
	}
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		CRDs:                  definitions,
	}
	if _, err := environment.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start an API server:", err)
		return 1
	}
	code := m.Run()
	if err := environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
		return 1
	}
	return code
}

func reportDefinitions() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, group := range []string{reports.GroupPolicyReports, reports.GroupOpenReports} {
		definitions, err := reports.Definitions(group)
		if err != nil {
			return nil, err
		}
		all = append(all, definitions...)
	}
	return all, nil
}

// world is what a test works with: the API server and a double of the policy server
// `default`, for which there are a PolicyServer and a Service.
type world struct {
	t      *testing.T
	client client.Client
	double *double
	logs   *bytes.Buffer
	// ctx is that of scans.
	ctx  context.Context //nolint:containedctx // it lives as long as the test
	now  time.Time
	runs int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, client: newClient(t, environment.Config), double: newDouble(t), logs: &bytes.Buffer{}, ctx: t.Context(), now: time.Unix(1_795_608_000, 0)}
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kubewarden"}})
	w.create(&policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	w.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "policy-server-default", Namespace: "kubewarden", Labels: map[string]string{"app.kubernetes.io/instance": "policy-server-default"}},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	})
	t.Cleanup(w.removeReports)
	return w
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, policiesv1.AddToScheme, apiextensionsv1.AddToScheme, report.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create makes an object for the time of the test.
func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); err != nil {
		w.t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
	w.t.Cleanup(func() {
		_ = w.client.Delete(context.WithoutCancel(w.t.Context()), object, client.GracePeriodSeconds(0))
	})
}

// ensure makes an object that stays: an API server without controllers deletes no namespace.
func (w *world) ensure(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); client.IgnoreAlreadyExists(err) != nil {
		w.t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func (w *world) namespace(name string, labels map[string]string) {
	w.t.Helper()
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
}

func (w *world) delete(object client.Object) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), object, client.GracePeriodSeconds(0)); err != nil {
		w.t.Fatalf("delete %T %s: %v", object, object.GetName(), err)
	}
}

func (w *world) pod(namespace, name string, labels map[string]string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example.com/main:1"}}},
	}
	w.create(pod)
	return pod
}

// policy makes a ClusterAdmissionPolicy that is active.
func (w *world) policy(name string, rule policiesv1.Rule, change func(*policiesv1.ClusterAdmissionPolicy)) *policiesv1.ClusterAdmissionPolicy {
	w.t.Helper()
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	policy.Spec.Module = "registry://registry.example.com/policies/" + name + ":1"
	policy.Spec.Rules = []policiesv1.Rule{rule}
	policy.Status.PolicyStatus = policiesv1.PolicyStateActive
	if change != nil {
		change(policy)
	}
	status := policy.Status
	w.create(policy)
	policy.Status = status
	w.updateStatus(policy)
	return policy
}

func (w *world) updateStatus(object client.Object) {
	w.t.Helper()
	if err := w.client.Status().Update(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

func creating(group, version, resources string) policiesv1.Rule {
	return policiesv1.Rule{
		Operations:  []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		APIGroups:   []string{group},
		APIVersions: []string{version},
		Resources:   strings.Split(resources, ","),
	}
}

// scan scans once with the rights of config, an hour after the last time.
func (w *world) scan(rights *rest.Config, target Target, change func(*Config)) (Summary, error) {
	w.t.Helper()
	w.runs++
	w.now = w.now.Add(time.Hour)
	w.logs.Reset()
	config := w.config(rights, report.KindPolicyReport)
	if change != nil {
		change(&config)
	}
	scanner, err := NewScanner(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return scanner.Run(w.ctx, target)
}

// mustScan scans everything as an administrator.
func (w *world) mustScan() Summary {
	w.t.Helper()
	summary, err := w.scan(environment.Config, Target{}, nil)
	if err != nil {
		w.t.Fatalf("scan: %v\n%s", err, w.logs)
	}
	return summary
}

func (w *world) config(rights *rest.Config, kind report.Kind) Config {
	w.t.Helper()
	typed := newClient(w.t, rights)
	objects, err := NewLister(rights)
	if err != nil {
		w.t.Fatal(err)
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(rights)
	if err != nil {
		w.t.Fatal(err)
	}
	now := func() time.Time { return w.now }
	return Config{
		Client:              typed,
		Objects:             objects,
		Discovery:           discoveryClient.WithLegacyWithContext(w.t.Context()),
		Asker:               impatient(w.double.transport(w.t, TransportConfig{})),
		Store:               w.store(rights, kind),
		Log:                 slog.New(slog.NewJSONHandler(w.logs, nil)),
		Now:                 now,
		KubewardenNamespace: "kubewarden",
		IgnoreNamespaces:    []string{"kube-system", "kube-public", "kube-node-lease"},
		ParallelNamespaces:  2,
		ParallelResources:   4,
		ParallelPolicies:    2,
		PageSize:            2,
	}
}

func (w *world) store(rights *rest.Config, kind report.Kind) *report.Store {
	w.t.Helper()
	store, err := report.NewStore(newClient(w.t, rights), kind, fmt.Sprintf("run-%d", w.runs))
	if err == nil {
		err = store.WriteBriefly(rights)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return store
}

// written reads all reports of a version, each as lines that are easy to compare: the
// object, and one line per result.
func (w *world) written(version schema.GroupVersion, kinds ...string) map[string][]string {
	w.t.Helper()
	lines := map[string][]string{}
	for _, kind := range kinds {
		list := w.list(version.WithKind(kind))
		for i := range list.Items {
			r := w.strict(&list.Items[i])
			name := strings.TrimPrefix(fmt.Sprintf("%s/%s/%s", r.Scope.Kind, r.Scope.Namespace, r.Scope.Name), "/")
			if lines[name] != nil {
				w.t.Errorf("%s has two reports", name)
			}
			lines[name] = []string{}
			for _, result := range r.Results {
				lines[name] = append(lines[name], strings.TrimSpace(fmt.Sprintf("%s %s %s", result.Policy, result.Result, result.Message)))
			}
		}
	}
	return lines
}

func (w *world) policyReports() map[string][]string {
	w.t.Helper()
	return w.written(v1alpha2.SchemeGroupVersion, "PolicyReport", "ClusterPolicyReport")
}

func (w *world) list(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	w.t.Helper()
	list := listOf(kind)
	if err := w.client.List(w.t.Context(), list); err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	return list
}

func listOf(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	return list
}

// strict decodes a stored report with the types of its consumers, refusing unknown fields,
// and recounts its summary. Both APIs have the same fields in JSON, but for `source`.
func (w *world) strict(object *unstructured.Unstructured) v1alpha2.PolicyReport {
	w.t.Helper()
	unstructured.RemoveNestedField(object.Object, "source")
	encoded, err := object.MarshalJSON()
	if err != nil {
		w.t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	r := v1alpha2.PolicyReport{}
	if err := decoder.Decode(&r); err != nil {
		w.t.Fatalf("decode %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	recount := v1alpha2.PolicyReportSummary{}
	for _, result := range r.Results {
		switch result.Result {
		case v1alpha2.StatusPass:
			recount.Pass++
		case v1alpha2.StatusFail:
			recount.Fail++
		case v1alpha2.StatusError:
			recount.Error++
		case v1alpha2.StatusSkip:
			recount.Skip++
		}
	}
	if r.Summary != recount {
		w.t.Errorf("summary of %s = %+v, a recount gives %+v", r.Scope.Name, r.Summary, recount)
	}
	return r
}

// revisions are the resource versions of all PolicyReports and ClusterPolicyReports.
func (w *world) revisions() map[string]string {
	w.t.Helper()
	revisions := map[string]string{}
	for _, kind := range []string{"PolicyReport", "ClusterPolicyReport"} {
		for _, item := range w.list(v1alpha2.SchemeGroupVersion.WithKind(kind)).Items {
			revisions[item.GetName()] = item.GetResourceVersion()
		}
	}
	return revisions
}

// reportKinds are the kinds of both report APIs.
func reportKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		v1alpha2.SchemeGroupVersion.WithKind("PolicyReport"), v1alpha2.SchemeGroupVersion.WithKind("ClusterPolicyReport"),
		{Group: reports.GroupOpenReports, Version: "v1alpha1", Kind: "Report"},
		{Group: reports.GroupOpenReports, Version: "v1alpha1", Kind: "ClusterReport"},
	}
}

func (w *world) removeReports() {
	ctx := context.WithoutCancel(w.t.Context())
	for _, kind := range reportKinds() {
		list := listOf(kind)
		_ = w.client.List(ctx, list)
		for i := range list.Items {
			_ = w.client.Delete(ctx, &list.Items[i])
		}
	}
}
