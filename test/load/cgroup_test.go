package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	for file, want := range want {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", file, got, err, want)
		}
	}
}

func TestMemoryIsBoundedByEitherVersionOfCgroups(t *testing.T) {
	const memory = 64 << 20
	for name, tc := range map[string]struct {
		files map[string]string
		below string            // where the group is made
		want  map[string]string // its files
	}{
		"version 1": {
			files: map[string]string{"memory/memory.limit_in_bytes": "max"},
			below: "memory", want: map[string]string{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"},
		},
		"version 2": {
			files: map[string]string{"cgroup.subtree_control": "cpu memory pids\n"},
			want:  map[string]string{"memory.max": "67108864", "memory.swap.max": "0"},
		},
		"both": {
			files: map[string]string{"memory/memory.limit_in_bytes": "max", "unified/cgroup.subtree_control": "\n"},
			below: "memory", want: map[string]string{"memory.limit_in_bytes": "67108864"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			mount := t.TempDir()
			for file, content := range tc.files {
				write(t, content, mount, file)
			}
			tree, err := findHierarchy(mount)
			group, failed := tree.newGroup(memory)
			if err := errors.Join(err, failed); err != nil {
				t.Fatal(err)
			}
			if got := filepath.Dir(group.path); got != filepath.Join(mount, tc.below) {
				t.Errorf("the group is made in %s", got)
			}
			checkFiles(t, group.path, tc.want)
			if _, err := tree.newGroup(memory); err == nil {
				t.Error("a group that is there already was taken")
			}
			if err := group.remove(); err == nil {
				t.Error("a group that is in use was removed") // its files are ours, not the kernel's
			}
		})
	}
}

func TestMemoryThatCannotBeBoundedIsSaidSo(t *testing.T) {
	mount := t.TempDir()
	if _, err := findHierarchy(mount); err == nil || !strings.Contains(err.Error(), "no cgroups of version 1 or 2") {
		t.Errorf("without cgroups: got %v", err)
	}
	write(t, "cpu\n", mount, "cgroup.subtree_control")
	if _, err := findHierarchy(mount); err == nil || !strings.Contains(err.Error(), `only "cpu" (--no-cgroup`) {
		t.Errorf("without the controller of memory: got %v", err)
	}
}

func TestGroupsOfKilledRunsAreLeft(t *testing.T) {
	tree := hierarchy{root: t.TempDir()}
	for _, name := range []string{"kubewarden-load-11", "kubewarden-load-12", "kubewarden-load-x", "kubelet-11", "11"} {
		write(t, "", tree.root, name, "cgroup.procs")
	}
	left, err := tree.left(func(id int) bool { return id == 12 })
	if err != nil || len(left) != 1 || filepath.Base(left[0].path) != "kubewarden-load-11" {
		t.Errorf("got %v, %v; want the group of 11", left, err)
	}
	if !running(os.Getpid()) {
		t.Error("we do not run")
	}
}

// The group in this test is a folder with a file of that name.
func TestAServerJoinsItsGroupAndStaysTheSameProcess(t *testing.T) {
	group := &cgroup{path: t.TempDir()}
	name, arguments := group.command("/bin/sh", "-c", `echo "$$ $*" >"$0/ran"`, group.path, "two words")
	process, err := os.StartProcess(name, append([]string{name}, arguments...), &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := process.Wait(); err != nil || !state.Success() {
		t.Fatalf("got %v, %v", state, err)
	}
	joined, err := os.ReadFile(filepath.Join(group.path, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	ran, err := os.ReadFile(filepath.Join(group.path, "ran"))
	if want := strings.TrimSpace(string(joined)) + " two words\n"; err != nil || string(ran) != want {
		t.Errorf("%q joined and %q ran, %v", joined, ran, err)
	}
}
