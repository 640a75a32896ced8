package admission

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func handlers(t *testing.T) map[string]http.Handler {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := policiesv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return Handlers(scheme, &fakeSettings{})
}

// TestConfigurationCallsTheHandlers holds config/webhook to the paths that are served.
func TestConfigurationCallsTheHandlers(t *testing.T) {
	data, err := os.ReadFile("../../config/webhook/manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict(data, configuration); err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(configuration.Webhooks))
	for _, webhook := range configuration.Webhooks {
		got = append(got, *webhook.ClientConfig.Service.Path)
		if *webhook.FailurePolicy != admissionregistrationv1.Ignore {
			t.Errorf("%s: failurePolicy %s, want Ignore: the reconcilers hold the rules", webhook.Name, *webhook.FailurePolicy)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(handlers(t))), got); diff != "" {
		t.Errorf("paths (-served +called):\n%s", diff)
	}
}

func TestWebhooks(t *testing.T) {
	everyGroup := namespacedPolicy()
	everyGroup.Spec.Rules[0].APIGroups = []string{"*"}
	protect, monitor := clusterPolicy(), clusterPolicy()
	protect.Generation, monitor.Generation = 1, 2
	monitor.Spec.Mode = policiesv1.PolicyModeMonitor
	labelled := everyGroup.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	deleting := everyGroup.DeepCopy()
	deleting.Generation, deleting.DeletionTimestamp = 2, new(metav1.Now())
	collision := &policiesv1.PolicyServer{}
	collision.Name = "a-issued"

	tests := map[string]struct {
		path          string
		before, after runtime.Object
		want          string
	}{
		"a policy that keeps the rules": {urlPath("ClusterAdmissionPolicy"), nil, clusterPolicy(), ""},
		"a policy that breaks one": {
			urlPath("AdmissionPolicy"), nil, everyGroup,
			`AdmissionPolicy.policies.kubewarden.io "labels" is invalid: spec.rules[0].apiGroups[0]: Forbidden: apiGroups cannot use wildcards`,
		},
		"protect to monitor":           {urlPath("ClusterAdmissionPolicy"), protect, monitor, "field cannot transition from protect to monitor. Recreate instead."},
		"labels of one that is broken": {urlPath("AdmissionPolicy"), everyGroup, labelled, ""},
		"the end of one that is broken": {
			urlPath("AdmissionPolicy"), everyGroup, deleting, "",
		},
		"a group":            {urlPath("ClusterAdmissionPolicyGroup"), nil, clusterGroup(), ""},
		"a namespaced group": {urlPath("AdmissionPolicyGroup"), nil, namespacedGroup(), ""},
		"a policy server":    {urlPath("PolicyServer"), nil, collision, `PolicyServer.policies.kubewarden.io "a-issued" is invalid: metadata.name`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			response := ask(t, tc.path, tc.before, tc.after)
			switch {
			case tc.want == "" && !response.Allowed:
				t.Errorf("refused with %q, want it to be taken", response.Result.Message)
			case tc.want != "" && response.Allowed:
				t.Errorf("taken, want it to be refused with %q", tc.want)
			case tc.want != "" && (response.Result.Code != http.StatusUnprocessableEntity || !strings.Contains(response.Result.Message, tc.want)):
				t.Errorf("refused with %d %q, want 422 and %q in it", response.Result.Code, response.Result.Message, tc.want)
			}
		})
	}
}

// ask asks a webhook as the API server does. Without an object before it is a creation.
func ask(t *testing.T, path string, before, after runtime.Object) *admissionv1.AdmissionResponse {
	t.Helper()
	return askOf(t, handlers(t)[path], before, after)
}

func askOf(t *testing.T, handler http.Handler, before, after runtime.Object) *admissionv1.AdmissionResponse {
	t.Helper()
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: encode(t, after)},
		},
	}
	if before != nil {
		review.Request.Operation = admissionv1.Update
		review.Request.OldObject.Raw = encode(t, before)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(encode(t, &review)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	answer := admissionv1.AdmissionReview{}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Response == nil {
		t.Fatalf("got %s and error %v, want a response", recorder.Body, err)
	}
	return answer.Response
}

// encode writes an object with its kind, as the API server sends it.
func encode(t *testing.T, object any) []byte {
	t.Helper()
	if object, ok := object.(runtime.Object); ok {
		scheme := runtime.NewScheme()
		if err := policiesv1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		if kinds, _, err := scheme.ObjectKinds(object); err == nil {
			object.GetObjectKind().SetGroupVersionKind(kinds[0])
		}
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}
