package assemble

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Folders of a bundle, as OLM and its tools look for them.
const (
	manifestsDir = "manifests"
	metadataDir  = "metadata"
	scorecardDir = "tests/scorecard"
)

// Files are the files of a bundle: their content by their path in it.
type Files map[string][]byte

// Write makes the folder hold these files and no others.
func (f Files) Write(dir string) error {
	stale := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !entry.IsDir() {
			stale[path] = true
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list the bundle in %s: %w", dir, err)
	}
	for name, content := range f {
		path := filepath.Join(dir, name)
		delete(stale, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(stale)) {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// addManifest adds an object under a name that no other object has.
func (f Files) addManifest(object *unstructured.Unstructured) error {
	group, version, found := strings.Cut(object.GetAPIVersion(), "/")
	if !found {
		group, version = "", group
	}
	parts := []string{object.GetName(), group, version, strings.ToLower(object.GetKind())}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return f.add(strings.Join(parts, "_")+".yaml", object.Object)
}

func (f Files) add(name string, object map[string]any) error {
	return f.addObject(filepath.Join(manifestsDir, name), object)
}

func (f Files) addObject(path string, object map[string]any) error {
	if _, taken := f[path]; taken {
		return fmt.Errorf("the bundle has two files %s", path)
	}
	content, err := yaml.Marshal(tidy(object))
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	f[path] = content
	return nil
}

// tidy removes what is the cluster's to say.
func tidy(object map[string]any) map[string]any {
	object = runtime.DeepCopyJSON(object)
	delete(object, "status")
	unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
	return object
}
