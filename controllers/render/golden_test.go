package render_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden compares objects with testdata/<name>.yaml, one YAML document each.
func golden(t *testing.T, name string, objects ...render.Object) {
	t.Helper()
	goldenFile(t, filepath.Join("testdata", name+".yaml"), objects...)
}

// goldenFile compares objects with a file, one YAML document each.
func goldenFile(t *testing.T, path string, objects ...render.Object) {
	t.Helper()
	documents := make([][]byte, 0, len(objects))
	for _, object := range objects {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatalf("convert %T: %v", object, err)
		}
		delete(content, "status") // is never applied
		document, err := yaml.Marshal(content)
		if err != nil {
			t.Fatalf("encode %T: %v", object, err)
		}
		documents = append(documents, document)
	}
	got := bytes.Join(documents, []byte("---\n"))
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatalf("write the golden file: %v", err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the golden file (go test -update makes it): %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got), go test -update rewrites it:\n%s", path, diff)
	}
}
