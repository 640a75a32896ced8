package policy

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
)

// TestConfigMapsWakeThePoliciesTheyConcern has three policies of one server, one of another
// kind, and changes of the two ConfigMaps of that server.
func TestConfigMapsWakeThePoliciesTheyConcern(t *testing.T) {
	const name, reports = "policy-server-default", "policy-server-default-replicas"
	report := func(a string) string {
		return fmt.Sprintf(`{"contract":1,"startTime":"2026-11-23T10:00:00Z","policies":{"kw.cap.a":[%q],"kw.cap.b":["1"],"kw.ap.n.a":["1"]}}`, a)
	}
	for title, tc := range map[string]struct {
		name          string
		before, after map[string]string
		label         string
		want          []string
	}{
		"an entry is changed": {
			name: name, want: []string{"a"},
			before: map[string]string{"policies.yml": `{"kw.cap.a":{"module":"1"},"kw.cap.b":{"module":"1"}}`},
			after:  map[string]string{"policies.yml": `{"kw.cap.a":{"module":"2"},"kw.cap.b":{"module":"1"}}`},
		},
		"the entry of another kind is changed": {
			name:   name,
			before: map[string]string{"policies.yml": `{"kw.cap.a":{"module":"1"},"kw.ap.n.a":{"module":"1"}}`},
			after:  map[string]string{"policies.yml": `{"kw.cap.a":{"module":"1"},"kw.ap.n.a":{"module":"2"}}`},
		},
		"the file is spoiled": {
			name: name, want: []string{"a", "b"},
			before: map[string]string{"policies.yml": `{"kw.cap.a":{"module":"1"},"kw.cap.b":{"module":"1"}}`},
			after:  map[string]string{"policies.yml": `]`},
		},
		"something else is changed":      {name: name, before: map[string]string{"x": "1"}, after: map[string]string{"x": "2"}},
		"another revision is reported":   {name: reports, before: map[string]string{"p": report("1")}, after: map[string]string{"p": report("2")}, want: []string{"a"}},
		"nothing new is reported":        {name: reports, before: map[string]string{"p": report("1")}, after: map[string]string{"p": report("1")}},
		"a replica reports at last":      {name: reports, before: nil, after: map[string]string{"p": report("1")}, want: []string{"a", "b", "c"}},
		"a report cannot be read":        {name: reports, before: map[string]string{"p": report("1")}, after: map[string]string{"p": "]"}, want: []string{"a", "b", "c"}},
		"a label comes off":              {name: reports, label: "other", before: nil, after: nil, want: []string{"a", "b", "c"}},
		"a ConfigMap of somebody else's": {name: "other", before: map[string]string{"p": report("1")}, after: map[string]string{"p": report("2")}},
	} {
		t.Run(title, func(t *testing.T) {
			r := wakeable(t)
			configMap := func(version, label string, data map[string]string) *corev1.ConfigMap {
				return &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{
						Namespace: "kubewarden", Name: tc.name, UID: "u", ResourceVersion: version,
						Labels: map[string]string{render.LabelPolicyServer: label},
					},
					Data: data,
				}
			}
			label := "default"
			if tc.label != "" {
				label = tc.label
			}
			queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
			defer queue.ShutDown()
			r.configMapHandler().Update(t.Context(), event.UpdateEvent{
				ObjectOld: configMap("1", "default", tc.before), ObjectNew: configMap("2", label, tc.after),
			}, queue)
			var got []string
			for queue.Len() > 0 {
				request, _ := queue.Get()
				got = append(got, request.Name)
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("woken are %v, want %v", got, tc.want)
			}
		})
	}
}

// wakeable is the reconciler of ClusterAdmissionPolicies, of which there are a, b and c.
func wakeable(t *testing.T) *Reconciler {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := policiesv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for _, name := range []string{"a", "b", "c"} {
		policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		policy.Spec.PolicyServer = "default"
		builder = builder.WithObjects(policy)
	}
	kind := index.PolicyKinds()[0]
	builder = builder.WithIndex(kind.New(), index.PolicyServer, func(object client.Object) []string {
		return []string{object.(*policiesv1.ClusterAdmissionPolicy).Spec.PolicyServer}
	})
	return NewReconciler(kind, Config{Client: builder.Build(), Configured: &configured.Reader{}, Reports: &replicas.Reports{}})
}
