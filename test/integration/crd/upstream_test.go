//go:build integration

package crd

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestUpstreamManifestsApplyUnchanged applies manifests that were written for upstream's
// CRDs: every field must arrive as it was sent, and none may be unknown.
func TestUpstreamManifestsApplyUnchanged(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "upstream", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found no manifest: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sent := object(t, string(manifest))
			applied := object(t, string(manifest))

			err = k8s.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("kubectl"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { remove(t, applied) })

			// Only the operator can write a status.
			delete(sent.Object, "status")
			if diff := cmp.Diff(sent.Object, part(sent.Object, applied.Object)); diff != "" {
				t.Errorf("what was sent and what arrived (-sent +arrived):\n%s", diff)
			}
		})
	}
}

// part is value without the fields that pattern does not have.
func part(pattern, value any) any {
	switch pattern := pattern.(type) {
	case map[string]any:
		fields, ok := value.(map[string]any)
		if !ok {
			return value
		}
		out := map[string]any{}
		for key := range pattern {
			if field, ok := fields[key]; ok {
				out[key] = part(pattern[key], field)
			}
		}
		return out
	case []any:
		items, ok := value.([]any)
		if !ok || len(items) != len(pattern) {
			return value
		}
		out := make([]any, len(items))
		for i := range items {
			out[i] = part(pattern[i], items[i])
		}
		return out
	default:
		return value
	}
}

// remove deletes an object whatever finalizers it has.
func remove(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	// The test's own context has ended by now.
	ctx := context.WithoutCancel(t.Context())
	object.SetFinalizers(nil)
	object.SetManagedFields(nil)
	if err := k8s.Update(ctx, object); err != nil {
		t.Errorf("remove the finalizers of %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	if err := k8s.Delete(ctx, object); err != nil {
		t.Errorf("delete %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}
