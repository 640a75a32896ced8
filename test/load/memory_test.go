package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMemoryIsFlat(t *testing.T) {
	const mb = 1 << 20
	series := func(values ...int64) []int64 {
		all := make([]int64, 0, 2*len(values))
		for _, value := range values { // two samples of each fifth
			all = append(all, value*mb, value*mb)
		}
		return all
	}
	for name, tc := range map[string]struct {
		samples []int64
		want    bool
	}{
		"always the same":           {series(100, 100, 100, 100, 100), true},
		"grown while warming up":    {series(10, 100, 100, 100, 100), true},
		"a peak in the middle":      {series(100, 100, 400, 100, 100), true},
		"five percent more":         {series(100, 100, 100, 100, 105), true},
		"six percent more":          {series(100, 100, 100, 100, 106), false},
		"six percent less":          {series(100, 100, 100, 100, 94), false},
		"a leak":                    {series(100, 110, 120, 130, 140), false},
		"a last sample left over":   {append(series(100, 100, 100, 100, 100), 100*mb), true},
		"the very last is too much": {append(series(100, 100, 100, 100, 100), 200*mb), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := summarizeMemory(tc.samples)
			if err != nil || got.Flat != tc.want {
				t.Errorf("got %+v, %v; want flat %t", got, err, tc.want)
			}
			if want := megabytes(slices.Max(tc.samples)); got.Max != want || len(got.Samples) != len(tc.samples) {
				t.Errorf("max %g of %d samples, want %g of %d", got.Max, len(got.Samples), want, len(tc.samples))
			}
		})
	}
	if _, err := summarizeMemory(series(1, 2)); err == nil {
		t.Error("four samples: got no error")
	}
}

func TestCgroup(t *testing.T) {
	root := t.TempDir()
	control := filepath.Join(root, "cgroup.subtree_control")
	for name, content := range map[string]*string{"no version 2": nil, "no controllers": new(string)} {
		if content != nil {
			if err := os.WriteFile(control, []byte(*content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := newCgroup(root, 1); err == nil || !strings.Contains(err.Error(), "--no-cgroup") {
			t.Errorf("%s: got %v, want an error that names --no-cgroup", name, err)
		}
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// The folder is not one of the kernel's, so that what is written can be read.
func TestCgroupBoundsTheMemory(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("cpu memory pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	group, err := newCgroup(root, soakMemory)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"memory.max": "536870912", "memory.swap.max": "0"} {
		path := filepath.Join(group.path, name)
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
		if err := os.Remove(path); err != nil { // the kernel's files go with their folder
			t.Fatal(err)
		}
	}
	if _, err := newCgroup(root, soakMemory); err == nil {
		t.Error("a group that is there already was taken")
	}
	if err := group.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(group.path); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
}
