package node

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRenderConfig(t *testing.T) {
	layout := Layout{State: "/var/lib/test-cluster", Run: "/run/test-cluster", NodeIP: "192.0.2.7"}
	files, err := renderConfig(layout)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "config")
	seen := map[string]bool{}
	for name, content := range files {
		// A colon is no good in file names of every system that has git.
		path := filepath.Join(golden, strings.ReplaceAll(name, ":", "_"))
		seen[path] = true
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s is rendered but not expected: %v", name, err)
			continue
		}
		if diff := cmp.Diff(string(want), string(content)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	err = filepath.WalkDir(golden, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !seen[path] {
			t.Errorf("%s is expected but not rendered", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
