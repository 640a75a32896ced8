package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// writeBundle writes what this package reads of a bundle.
func writeBundle(t *testing.T, version, replaces string) string {
	t.Helper()
	dir := t.TempDir()
	csv := fmt.Sprintf(`
apiVersion: operators.coreos.com/v1alpha1
kind: ClusterServiceVersion
metadata: {name: kubewarden-operator.v%[1]s}
spec: {version: %[1]s, description: About %[1]s., icon: [{base64data: aWNvbg==, mediatype: image/svg+xml}], install: {strategy: deployment}, displayName: Operator}
`, version)
	if replaces != "" {
		csv = strings.Replace(csv, "spec: {", "spec: {replaces: kubewarden-operator.v"+replaces+", ", 1)
		csv = strings.Replace(csv, "metadata: {", `metadata: {annotations: {olm.skipRange: ">=0.1.0 <`+version+`"}, `, 1)
	}
	for name, content := range map[string]string{
		"manifests/csv.yaml": csv,
		"metadata/annotations.yaml": `annotations: {operators.operatorframework.io.bundle.package.v1: kubewarden-operator,
  operators.operatorframework.io.bundle.channels.v1: stable, operators.operatorframework.io.bundle.channel.default.v1: stable}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, dirs ...string) *Releases {
	t.Helper()
	releases, err := Load(dirs)
	if err != nil {
		t.Fatal(err)
	}
	return releases
}

func readYAML(t *testing.T, file string) (object map[string]any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

var (
	wantPackage = map[string]any{
		"schema": "olm.package", "name": "kubewarden-operator", "defaultChannel": "stable", "description": "About 0.1.1.",
		"icon": map[string]any{"base64data": "aWNvbg==", "mediatype": "image/svg+xml"},
	}
	wantChannel = map[string]any{
		"schema": "olm.channel", "package": "kubewarden-operator", "name": "stable",
		"entries": []any{
			map[string]any{"name": "kubewarden-operator.v0.1.0"},
			map[string]any{"name": "kubewarden-operator.v0.1.1", "replaces": "kubewarden-operator.v0.1.0", "skipRange": ">=0.1.0 <0.1.1"},
		},
	}
)

func TestTemplateNamesEachVersionAndItsPredecessor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog", "template.yaml")
	// The second release is written when the bundle of the first is not in the tree any more.
	for _, release := range []string{writeBundle(t, "0.1.0", ""), writeBundle(t, "0.1.1", "0.1.0"), writeBundle(t, "0.1.1", "0.1.0")} {
		if err := load(t, release).WriteTemplate(file, "registry.example/bundle"); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]any{
		"schema": "olm.template.basic",
		"entries": []any{
			wantPackage, wantChannel,
			map[string]any{"schema": "olm.bundle", "image": "registry.example/bundle:v0.1.0"},
			map[string]any{"schema": "olm.bundle", "image": "registry.example/bundle:v0.1.1"},
		},
	}
	if diff := cmp.Diff(want, readYAML(t, file)); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
}

// writeOPM writes a program that answers as opm does where it renders, and fails where it
// validates a folder with a file named bad.yaml.
func writeOPM(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "opm")
	script := "#!/bin/sh\nif [ $1 = validate ]; then [ ! -e $2/bad.yaml ] || { echo bad >&2; exit 1; }; else echo \"# $*\"; fi\n"
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCatalogHoldsWhatOPMRenders(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first := writeBundle(t, "0.1.0", "")
	if err := load(t, first, writeBundle(t, "0.1.1", "0.1.0")).Write(t.Context(), dir, writeOPM(t)); err != nil {
		t.Fatalf("write over another catalog: %v", err)
	}
	index, err := os.ReadFile(filepath.Join(dir, "package.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for document := range strings.SplitSeq(strings.TrimPrefix(string(index), "---\n"), "---\n") {
		var entry map[string]any
		if err := yaml.Unmarshal([]byte(document), &entry); err != nil {
			t.Fatal(err)
		}
		got = append(got, entry)
	}
	if diff := cmp.Diff([]map[string]any{wantPackage, wantChannel}, got); diff != "" {
		t.Errorf("package and channel (-want +got):\n%s", diff)
	}
	rendered, err := os.ReadFile(filepath.Join(dir, "kubewarden-operator.v0.1.0.yaml"))
	if want := "# render " + first + " --output=yaml\n"; err != nil || string(rendered) != want {
		t.Errorf("rendered %q, %v; want %q", rendered, err, want)
	}
}

func TestWriteShowsWhatOPMSays(t *testing.T) {
	err := load(t, writeBundle(t, "0.1.0", "")).Write(t.Context(), t.TempDir(), "false")
	if err == nil || !strings.Contains(err.Error(), "false [render ") {
		t.Errorf("Write = %v, want an error that names the command", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	other := writeBundle(t, "0.1.0", "")
	annotations := filepath.Join(other, "metadata", "annotations.yaml")
	if err := os.WriteFile(annotations, []byte("annotations: {operators.operatorframework.io.bundle.package.v1: other}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		dirs []string
		want string
	}{
		"nothing":                 {nil, "at least one bundle"},
		"a folder that is none":   {[]string{t.TempDir()}, "read the bundle in "},
		"bundles of two packages": {[]string{writeBundle(t, "0.1.0", ""), other}, "is of package other"},
	} {
		if _, err := Load(tc.dirs); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tc.want)
		}
	}
}
