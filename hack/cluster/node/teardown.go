package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Down removes every process, mount, link, chain and file of the node. It needs nothing to
// be there: what is gone already is no error, whoever took it away. Parts that do not
// depend on one another are all tried; the files go last, and only once nothing uses them.
func (l Layout) Down(ctx context.Context) error {
	seen, known, err := l.recall()
	if err != nil {
		return err
	}
	// Kubelet goes first, or it would start again what is ended here.
	failures := []error{l.stop(ctx, "kubelet"), l.stop(ctx, "kube-proxy"), l.endContainers(ctx)}
	for _, name := range []string{"containerd", "kube-scheduler", "kube-controller-manager", "registry", "kube-apiserver", "etcd"} {
		failures = append(failures, l.stop(ctx, name))
	}
	failures = append(failures, kill(ctx, l.marked()), l.endContainers(ctx), removeCgroups())
	if known {
		// Without the record no program of the node ever ran here, so no chain is its.
		failures = append(failures, removeChains(ctx), removeCounters())
	}
	if err := errors.Join(append(failures, Unmount(l.State, l.Run))...); err != nil {
		return err
	}
	return errors.Join(removeLinks(ctx, known), seen.restoreSettings(), l.removeFiles(seen))
}

// endContainers ends whatever runs in the node's control groups, whoever its parent is.
func (l Layout) endContainers(ctx context.Context) error {
	var pids []int
	for _, group := range cgroups() {
		content, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil {
			continue // the group went with its last process
		}
		for field := range strings.FieldsSeq(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return kill(ctx, slices.Compact(pids))
}

// cgroups are the node's control groups, outer ones first, of each hierarchy of version 1
// or of the one of version 2.
func cgroups() []string {
	const root = "/sys/fs/cgroup"
	tops, err := filepath.Glob(filepath.Join(root, "*", CgroupRoot))
	if err != nil {
		return nil
	}
	var groups []string
	for _, top := range append(tops, filepath.Join(root, CgroupRoot)) {
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
	}
	return groups
}

func removeCgroups() error {
	var failures []error
	for _, group := range slices.Backward(cgroups()) {
		if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, fmt.Errorf("remove control group: %w", err))
		}
	}
	return errors.Join(failures...)
}

// removeLinks removes the machine's ends of the links to Pods. They go with the Pods'
// network namespaces, but a little later than the last process and mount.
func removeLinks(ctx context.Context, known bool) error {
	if !known {
		return nil
	}
	names, err := podLinks()
	if err != nil {
		return err
	}
	var failures []error
	for _, name := range names {
		output, err := exec.CommandContext(ctx, "ip", "link", "delete", name).CombinedOutput()
		if _, gone := net.InterfaceByName(name); err != nil && gone == nil {
			failures = append(failures, fmt.Errorf("remove link %s: %w: %s", name, err, output))
		}
	}
	return errors.Join(failures...)
}

func (l Layout) removeFiles(seen machine) error {
	failures := []error{l.removeShimSockets(), l.removeShared(seen)}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(l.Run), os.RemoveAll(l.State))
}

// removeShimSockets removes the sockets of containerd's shims: they lie in a folder that
// all containerds of a machine share, and each container's folder names its own.
func (l Layout) removeShimSockets() error {
	files, err := filepath.Glob(filepath.Join(l.Run, "containerd", "io.containerd.runtime.v2.task", "*", "*", "address"))
	if err != nil {
		return err
	}
	var failures []error
	for _, file := range files {
		address, err := os.ReadFile(file)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		path := strings.TrimPrefix(strings.TrimSpace(string(address)), "unix://")
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func isNotEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// DownRegistry ends a registry that UpRegistry started and removes its files.
func (l Layout) DownRegistry(ctx context.Context) error {
	return errors.Join(l.stop(ctx, "registry"), os.RemoveAll(l.State))
}
