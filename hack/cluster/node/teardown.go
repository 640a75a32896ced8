package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
)

// Down removes every process, mount, link, chain and file of the node. It needs nothing to
// be there: what is gone already is no error, whoever took it away. Parts that do not
// depend on one another are all tried; the files go last, and only once nothing uses them.
func (l Layout) Down(ctx context.Context) error {
	seen, known, err := l.recall()
	if err != nil {
		return err
	}
	// What a run that was killed has left behind goes first, then kubelet: both would start
	// again what is ended here.
	failures := []error{kill(ctx, l.marked(helpers)), l.stop(ctx, "kubelet"), l.stop(ctx, "kube-proxy")}
	ids := l.containerIDs()
	failures = append(failures, endContainers(ctx, ids))
	for _, name := range []string{"containerd", "kube-scheduler", "kube-controller-manager", "registry", "kube-apiserver", "etcd"} {
		failures = append(failures, l.stop(ctx, name))
	}
	// Shims outlive containerd on purpose, and one more container may just have been started.
	ids = append(ids, l.containerIDs()...)
	failures = append(failures, kill(ctx, l.marked("")), endContainers(ctx, ids), removeCgroups(ctx, ids))
	if known {
		// Without the record no program of the node ever ran here, so no chain is its.
		failures = append(failures, removeChains(ctx), removeCounters())
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if err := Unmount(l.State, l.Run); err != nil {
		return err
	}
	if known {
		failures = []error{removeLinks(ctx), seen.restoreSettings()}
	}
	failures = append(failures, l.removeShimSockets(always), l.removeShared(seen, ids))
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return l.removeFolders()
}

// removeFolders removes the node's own folders, once nothing is mounted there any more: a
// mount may show the files of somebody else.
func (l Layout) removeFolders() error {
	if err := Unmount(l.State, l.Run); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(l.Run), os.RemoveAll(l.State))
}

// removeLinks removes the machine's ends of the links to Pods. They go with the Pods'
// network namespaces, but a little later than the last process and mount.
func removeLinks(ctx context.Context) error {
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

// DownRegistry ends a registry that UpRegistry started and removes its files.
func (l Layout) DownRegistry(ctx context.Context) error {
	return errors.Join(l.stop(ctx, "registry"), os.RemoveAll(l.State))
}
