package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is a control group (version 2) of the server's own, with a bound of its memory.
type cgroup struct {
	path   string
	folder *os.File
}

// newCgroup makes a group below root, where cgroups are mounted. Its memory is bounded, in
// bytes, and there is no swap beside it. remove has to be called.
func newCgroup(root string, memory int64) (_ *cgroup, err error) {
	available, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	if err != nil {
		return nil, fmt.Errorf("no cgroups of version 2 at %s (--no-cgroup goes without a bound of memory): %w", root, err)
	}
	if !bytes.Contains(available, []byte("memory")) {
		return nil, fmt.Errorf("%s does not hand on the controller of memory, only %q (--no-cgroup goes without a bound of memory)",
			filepath.Join(root, "cgroup.subtree_control"), strings.TrimSpace(string(available)))
	}
	group := &cgroup{path: filepath.Join(root, "kubewarden-load-"+strconv.Itoa(os.Getpid()))}
	if err := os.Mkdir(group.path, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup (--no-cgroup goes without a bound of memory): %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, group.remove())
		}
	}()
	if err := os.WriteFile(filepath.Join(group.path, "memory.max"), []byte(strconv.FormatInt(memory, 10)), 0o600); err != nil {
		return nil, fmt.Errorf("bound the memory: %w", err)
	}
	err = os.WriteFile(filepath.Join(group.path, "memory.swap.max"), []byte("0"), 0o600)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) { // a kernel without swap has no such file
		return nil, fmt.Errorf("forbid swap: %w", err)
	}
	if group.folder, err = os.Open(group.path); err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	return group, nil
}

// remove takes the group away; the server has ended before.
func (c *cgroup) remove() error {
	if c.folder != nil {
		_ = c.folder.Close()
	}
	if err := os.Remove(c.path); err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}

// root finds where cgroups of version 2 are mounted.
func cgroupRoot() string {
	const unified = "/sys/fs/cgroup/unified" // where version 1 is there, too
	if _, err := os.Stat(unified); err == nil {
		return unified
	}
	return "/sys/fs/cgroup"
}
