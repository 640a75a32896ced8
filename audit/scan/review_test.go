package scan

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubewarden/kubewarden-operator/matching"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	pods       = matching.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "pods"}, Kind: "Pod", Namespaced: true}
	namespaces = matching.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, Kind: "Namespace"}
)

func TestReviewIsTheOperationOnTheObject(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: team-a, uid: 7c3a1f8e-0000-4000-8000-00000000000a, resourceVersion: "42", managedFields: [{manager: kubectl}]}
spec: {containers: [{name: web, image: "nginx"}]}
status: {phase: Running}
`
	cases := map[string]struct {
		operation matching.Operation
		resource  matching.Resource
		object    string
	}{
		"review-pod.json":        {matching.Create, pods, pod},
		"review-pod-update.json": {matching.Update, pods, pod},
		"review-pod-delete.json": {matching.Delete, pods, pod},
		"review-namespace.json": {matching.Create, namespaces, `
apiVersion: v1
kind: Namespace
metadata: {name: team-a, uid: 7c3a1f8e-0000-4000-8000-00000000000b}
`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			object := map[string]any{}
			if err := yaml.Unmarshal([]byte(tc.object), &object); err != nil {
				t.Fatal(err)
			}
			body, err := review(tc.operation, tc.resource, itemOf(t, tc.resource, object))
			if err != nil {
				t.Fatal(err)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, body, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, name, append(indented.Bytes(), '\n'))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestWhatIsDoneToANamespaceIsInsideOfIt(t *testing.T) {
	labels := map[string]string{"env": "prod"}
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: map[string]string{"env": "prod"}}}
	got := simulation(matching.Delete, namespaces, object, nil)
	if got.Namespace != "team-a" || got.Name != "team-a" {
		t.Errorf("namespace %q, name %q", got.Namespace, got.Name)
	}
	if diff := cmp.Diff(labels, got.NamespaceLabels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if got.Object != nil || got.OldObject != object {
		t.Errorf("a deletion has the old object only, got %v and %v", got.Object, got.OldObject)
	}
}
