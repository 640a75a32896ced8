package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// containerdNamespace is the one that kubelet's containers are in. Other containerds of
// the machine have one of that name too: what is ours is known by the container's ID.
const containerdNamespace = "k8s.io"

// cgroupRoot is where control groups are mounted: the hierarchies of version 1 each in a
// folder of its own, or the one of version 2.
const cgroupRoot = "/sys/fs/cgroup"

// tasks is where containerd keeps a folder for each container that was started.
func (l Layout) tasks() string {
	return filepath.Join(l.Run, "containerd", "io.containerd.runtime.v2.task", containerdNamespace)
}

// containerIDs are the containers and sandboxes of this node's containerd.
func (l Layout) containerIDs() []string {
	const service = "io.containerd.grpc.v1.cri"
	var ids []string
	for _, folder := range []string{
		l.tasks(),
		l.path("containerd", service, "sandboxes"),
		l.path("containerd", service, "containers"),
	} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // none was ever made
		}
		for _, entry := range entries {
			ids = append(ids, entry.Name())
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// cgroupParents are the control groups in which containerd makes one for each container;
// some of them are never made.
func cgroupParents() []string {
	hierarchies, err := filepath.Glob(filepath.Join(cgroupRoot, "*", "cgroup.procs"))
	if err != nil {
		return nil
	}
	parents := []string{filepath.Join(cgroupRoot, containerdNamespace)}
	for _, file := range hierarchies {
		parents = append(parents, filepath.Join(filepath.Dir(file), containerdNamespace))
	}
	return parents
}

// cgroups are the control groups of containers, outer ones first.
func cgroups(ids []string) []string {
	var groups []string
	for _, parent := range cgroupParents() {
		for _, id := range ids {
			_ = filepath.WalkDir(filepath.Join(parent, id), func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
		}
	}
	return groups
}

// endContainers ends whatever runs in the control groups of containers, whoever its
// parent is.
func endContainers(ctx context.Context, ids []string) error {
	var pids []int
	for _, group := range cgroups(ids) {
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

// removeCgroups removes the control groups of containers. A group can stay in use for a
// moment after its last process was ended.
func removeCgroups(ctx context.Context, ids []string) error {
	patient, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	var failure error
	err := poll(patient, func() bool {
		failure = nil
		for _, group := range slices.Backward(cgroups(ids)) {
			if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failure = fmt.Errorf("remove control group: %w", err)
			}
		}
		return failure == nil
	})
	return errors.Join(err, failure)
}

// removeShimSockets removes those sockets of containerd's shims that are to go. They lie in
// a folder that all containerds of a machine share; each container's folder names its own.
func (l Layout) removeShimSockets(toGo func(path string) bool) error {
	files, err := filepath.Glob(filepath.Join(l.tasks(), "*", "address"))
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
		if !toGo(path) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func always(string) bool { return true }

// isAbandoned says whether nothing listens at a socket any more.
func isAbandoned(path string) bool {
	connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		_ = connection.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
