package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Down removes every process, mount, link, chain and file of the node. It needs nothing to
// be there: what is gone already is no error, whoever took it away. Parts that do not
// depend on one another are all tried; the files go last, and only once nothing uses them.
func (l Layout) Down(ctx context.Context) error {
	seen, known, err := l.recall()
	if err != nil {
		return err
	}
	ids, err := l.halt(ctx, known, "")
	if err != nil {
		return err
	}
	failures := []error{l.removeShared(seen, ids)}
	if known {
		failures = append(failures, seen.restoreSettings())
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return l.removeFolders()
}

// Stop ends every process and container of the node, as a loss of power does: files stay,
// and what lives no longer than a machine runs is gone. The registry goes on: it stands for
// one that is elsewhere.
func (l Layout) Stop(ctx context.Context) error {
	if _, known, err := l.recall(); err != nil || !known {
		return cmp.Or(err, errors.New("there is no cluster to stop"))
	}
	if _, err := l.halt(ctx, true, "registry"); err != nil {
		return err
	}
	return errors.Join(closeRange(ctx, PodRange), closeRange(ctx, ServiceRange), os.RemoveAll(l.Run), os.MkdirAll(l.Run, 0o711))
}

// StopComponents ends some of Components and nothing that they started.
func (l Layout) StopComponents(ctx context.Context, names ...string) error {
	for _, name := range names {
		if !slices.Contains(Components, name) {
			return fmt.Errorf("component is %q; allowed are %s", name, strings.Join(Components, ", "))
		}
	}
	var failures []error
	for _, name := range names {
		failures = append(failures, l.stop(ctx, name))
	}
	return errors.Join(failures...)
}

// halt ends every process and container but the spared component, and takes away what they
// cannot be without and nobody else has: control groups, mounts, links, chains. It gives the
// IDs of the containers. If known is false, no program of the node ever ran here.
func (l Layout) halt(ctx context.Context, known bool, spared string) ([]string, error) {
	// What a run that was killed has left behind goes first, then kubelet: both would start
	// again what is ended here.
	failures := []error{kill(ctx, l.marked(helpers)), l.stop(ctx, "kubelet"), l.stop(ctx, "kube-proxy")}
	ids := l.containerIDs()
	failures = append(failures, endContainers(ctx, ids))
	for _, name := range []string{"containerd", "kube-scheduler", "kube-controller-manager", "registry", "kube-apiserver", "etcd"} {
		if name != spared {
			failures = append(failures, l.stop(ctx, name))
		}
	}
	// Shims outlive containerd on purpose, and one more container may just have been started.
	ids = append(ids, l.containerIDs()...)
	rest := l.marked("")
	if spared != "" {
		kept := l.marked(spared)
		rest = slices.DeleteFunc(rest, func(pid int) bool { return slices.Contains(kept, pid) })
	}
	failures = append(failures, kill(ctx, rest), endContainers(ctx, ids), removeCgroups(ctx, ids))
	if known {
		// Without the record no program of the node ever ran here, so no chain is its.
		failures = append(failures, removeChains(ctx), removeCounters())
	}
	if err := errors.Join(failures...); err != nil {
		return ids, err
	}
	if err := Unmount(l.State, l.Run); err != nil {
		return ids, err
	}
	failures = []error{l.removeShimSockets(always)}
	if known {
		failures = append(failures, removeLinks(ctx), openRange(ctx, PodRange), openRange(ctx, ServiceRange))
	}
	return ids, errors.Join(failures...)
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
