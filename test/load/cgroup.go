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
	"syscall"
	"time"
)

// cgroupMount is where control groups are mounted.
const cgroupMount = "/sys/fs/cgroup"

// cgroupPrefix begins the names of the groups made here; the ID of who made it follows.
const cgroupPrefix = "kubewarden-load-"

// withoutCgroup is what to do where there are no groups.
const withoutCgroup = "--no-cgroup goes without a bound of memory"

// hierarchy is a tree of control groups that bounds memory.
type hierarchy struct {
	root string
	// limit and swap are the files of a group that bound its memory; swap counts memory,
	// too, in version 1, and may be absent in both.
	limit, swap string
	swapValue   func(memory int64) int64
}

// findHierarchy looks for the tree that bounds memory. It is of version 1 where both are
// there and memory was given to that one.
func findHierarchy(mount string) (hierarchy, error) {
	legacy := hierarchy{
		root: filepath.Join(mount, "memory"), limit: "memory.limit_in_bytes", swap: "memory.memsw.limit_in_bytes",
		swapValue: func(memory int64) int64 { return memory },
	}
	if _, err := os.Stat(filepath.Join(legacy.root, legacy.limit)); err == nil {
		return legacy, nil
	}
	unified := hierarchy{
		root: mount, limit: "memory.max", swap: "memory.swap.max", swapValue: func(int64) int64 { return 0 },
	}
	control := filepath.Join(mount, "cgroup.subtree_control")
	available, err := os.ReadFile(control)
	if err != nil {
		return hierarchy{}, fmt.Errorf("no cgroups of version 1 or 2 that bound memory at %s (%s): %w", mount, withoutCgroup, err)
	}
	if !bytes.Contains(available, []byte("memory")) {
		return hierarchy{}, fmt.Errorf("%s does not hand on the controller of memory, only %q (%s)",
			control, strings.TrimSpace(string(available)), withoutCgroup)
	}
	return unified, nil
}

// cgroup is a control group of the server's own, with a bound of its memory.
type cgroup struct{ path string }

// newGroup makes a group whose memory is bounded, in bytes, with no swap beside it. remove
// has to be called; the groups of runs that could not are removed first.
func (h hierarchy) newGroup(memory int64) (_ *cgroup, err error) {
	if err := h.removeLeft(running); err != nil {
		return nil, err
	}
	group := &cgroup{path: filepath.Join(h.root, cgroupPrefix+strconv.Itoa(os.Getpid()))}
	if err := os.Mkdir(group.path, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup (%s): %w", withoutCgroup, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, group.remove())
		}
	}()
	if err := group.write(h.limit, memory); err != nil {
		return nil, fmt.Errorf("bound the memory: %w", err)
	}
	err = group.write(h.swap, h.swapValue(memory))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) { // a kernel without swap has no such file
		return nil, fmt.Errorf("forbid swap: %w", err)
	}
	return group, nil
}

func (c *cgroup) write(file string, value int64) error {
	return os.WriteFile(filepath.Join(c.path, file), []byte(strconv.FormatInt(value, 10)), 0o600)
}

// command is a command line that runs another one in the group, as the same process: it
// joins before the program begins, so that all of its memory counts. Only version 2 could
// have a child born in a group.
func (c *cgroup) command(program string, arguments ...string) (name string, all []string) {
	const join = `echo $$ >"$0/cgroup.procs" && exec "$@"`
	return "/bin/sh", append([]string{"-c", join, c.path, program}, arguments...)
}

// remove takes the group away; the server has ended before.
func (c *cgroup) remove() error {
	if err := os.Remove(c.path); err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}

// removeLeft removes the groups of runs that were killed, and what still runs in them.
func (h hierarchy) removeLeft(running func(id int) bool) error {
	left, err := h.left(running)
	if err != nil {
		return err
	}
	for _, group := range left {
		if err := group.clear(); err != nil {
			return fmt.Errorf("remove what a killed run has left: %w", err)
		}
	}
	return nil
}

// left are the groups whose maker runs no more.
func (h hierarchy) left(running func(id int) bool) ([]*cgroup, error) {
	entries, err := os.ReadDir(h.root)
	if err != nil {
		return nil, fmt.Errorf("look for cgroups: %w", err)
	}
	var left []*cgroup
	for _, entry := range entries {
		number, ours := strings.CutPrefix(entry.Name(), cgroupPrefix)
		maker, err := strconv.Atoi(number)
		if ours && err == nil && !running(maker) {
			left = append(left, &cgroup{path: filepath.Join(h.root, entry.Name())})
		}
	}
	return left, nil
}

// clear ends what runs in a group and removes it.
func (c *cgroup) clear() error {
	const tries, pause = 50, 100 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for try := 1; ; try++ {
		members, err := os.ReadFile(filepath.Join(c.path, "cgroup.procs"))
		if err != nil {
			return err
		}
		for number := range strings.FieldsSeq(string(members)) {
			if id, err := strconv.Atoi(number); err == nil && id > 0 { // 0 is one of another container
				_ = syscall.Kill(id, syscall.SIGKILL) // it may have ended by now
			}
		}
		if err = c.remove(); err == nil || try == tries {
			return err
		}
		<-ticker.C
	}
}

// running says whether there is a process of that ID.
func running(id int) bool { return !errors.Is(syscall.Kill(id, 0), syscall.ESRCH) }
