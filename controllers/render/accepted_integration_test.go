//go:build integration

package render_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// strict is a client whose API server refuses fields that it does not know.
var strict client.Client

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	environment, err := applytest.Start(nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}} // of namespaced policies
	if err := environment.Direct.Create(context.Background(), shop); err != nil {
		return 0, fmt.Errorf("create namespace %s: %w", shop.Name, err)
	}
	strict = client.WithFieldValidation(environment.Direct, metav1.FieldValidationStrict)
	return m.Run(), nil
}

// Each field of a spec can be set as the tables of fields set it, and each child that then
// comes out is one that the API server takes as it is.
func TestFieldsAreAccepted(t *testing.T) {
	for kind, table := range fieldTables() {
		for _, tc := range table.cases(t) {
			t.Run(kind+"/"+tc.field, func(t *testing.T) {
				if err := strict.Create(t.Context(), asUnstructured(t, tc.object), client.DryRunAll); err != nil {
					t.Errorf("create the %s: %v", kind, err)
				}
				for _, child := range tc.children {
					accept(t, asUnstructured(t, child))
				}
			})
		}
	}
}

// foreignGroup is of kinds that another project defines, and no API server of the tests has.
const foreignGroup = "monitoring.coreos.com"

func TestGoldensAreAccepted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find the goldens: %v (%v)", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			objects := documents(t, file)
			for i, object := range objects {
				switch {
				case object.GroupVersionKind().Group == foreignGroup:
				case slices.ContainsFunc(objects[i+1:], func(later *unstructured.Unstructured) bool { return sameObject(object, later) }):
					// What is made once, with a key in it, and then applied without.
					create(t, object)
				default:
					accept(t, object)
				}
			}
		})
	}
}

func documents(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

func sameObject(a, b *unstructured.Unstructured) bool {
	return a.GroupVersionKind() == b.GroupVersionKind() && a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
}

func create(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	created := object.DeepCopy()
	if err := strict.Create(t.Context(), created, client.FieldOwner(apply.FieldOwner)); err != nil {
		t.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := strict.Delete(context.WithoutCancel(t.Context()), created); err != nil {
			t.Error(err)
		}
	})
}

// accept has the API server say what would become of an object. All that is in it must be in
// that too: what is dropped or replaced would be applied again and again.
func accept(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	what := object.GetKind() + " " + object.GetName()
	taken := object.DeepCopy()
	err := strict.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(taken), client.DryRunAll, client.FieldOwner(apply.FieldOwner), client.ForceOwnership)
	if err != nil {
		t.Errorf("apply %s: %v", what, err)
		return
	}
	sent, got := map[string]string{}, map[string]string{}
	flattenValue(t, what, object.Object, sent)
	flattenValue(t, what, taken.Object, got)
	lost := compare(got, sent)
	maps.DeleteFunc(lost, func(_, value string) bool { return value == gone }) // the API server's own additions
	for _, path := range slices.Sorted(maps.Keys(lost)) {
		t.Errorf("%s is %s, the API server makes %q of it", path, lost[path], got[path])
	}
}

func asUnstructured(t *testing.T, object render.Object) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatalf("convert %T: %v", object, err)
	}
	delete(content, "status") // is never applied
	return &unstructured.Unstructured{Object: content}
}
