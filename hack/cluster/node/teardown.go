package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Down removes every process, mount, link, chain and file of the node. Each part is tried
// whether or not the others worked, and whatever is already gone is no error.
func (l Layout) Down(ctx context.Context) error {
	var failures []error
	for _, name := range []string{"kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager", "kube-apiserver"} {
		failures = append(failures, l.stop(ctx, name))
	}
	failures = append(failures, l.killContainers(ctx))
	for _, name := range []string{"containerd", "registry", "etcd"} {
		failures = append(failures, l.stop(ctx, name))
	}
	failures = append(failures, l.unmount(), removeLink(ctx, Bridge), removeChains(ctx), l.removeCgroups(), l.removeFiles())
	return errors.Join(failures...)
}

// killContainers ends the containers of this containerd. Their shims outlive containerd on
// purpose and are known by the socket they report to.
func (l Layout) killContainers(ctx context.Context) error {
	ours := processesWhere(func(_ int, args []string) bool {
		return strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") && slices.Contains(args, l.ContainerdSocket())
	})
	for _, shim := range ours {
		for _, child := range children(shim) {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
	}
	for _, shim := range ours {
		_ = syscall.Kill(shim, syscall.SIGKILL)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := poll(ctx, func() bool { return !slices.ContainsFunc(ours, alive) })
	if err != nil {
		return fmt.Errorf("wait for containers to end: %w", err)
	}
	return nil
}

func alive(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil
}

func processesWhere(match func(pid int, args []string) bool) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(cmdline) == 0 {
			continue
		}
		if match(pid, strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")) {
			found = append(found, pid)
		}
	}
	return found
}

func children(parent int) []int {
	return processesWhere(func(pid int, _ []string) bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		// The program's name, in parentheses, may hold anything; the parent is the second field after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		return len(fields) > 1 && fields[1] == strconv.Itoa(parent)
	})
}

// unmount takes away what kubelet and containerd mounted, the innermost first.
func (l Layout) unmount() error {
	var failures []error
	for _, path := range slices.Backward(l.mounts()) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			failures = append(failures, fmt.Errorf("unmount %s: %w", path, err))
		}
	}
	return errors.Join(failures...)
}

func (l Layout) mounts() []string {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer file.Close()
	var found []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 5 {
			continue
		}
		if path := fields[4]; strings.HasPrefix(path, l.State+"/") || strings.HasPrefix(path, l.Run+"/") {
			found = append(found, path)
		}
	}
	return found
}

func removeLink(ctx context.Context, name string) error {
	if _, err := os.Stat("/sys/class/net/" + name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if output, err := exec.CommandContext(ctx, "ip", "link", "delete", name).CombinedOutput(); err != nil {
		return fmt.Errorf("remove link %s: %w: %s", name, err, output)
	}
	return nil
}

// removeChains takes the rules of kube-proxy, kubelet and the CNI plugins out of the
// firewall and leaves every other rule as it is.
func removeChains(ctx context.Context) error {
	var failures []error
	for _, family := range []string{"iptables", "ip6tables"} {
		saved, err := exec.CommandContext(ctx, family+"-save").Output()
		if err != nil {
			continue // the tools came with the node; without them there are no rules of ours
		}
		kept, changed := withoutOurRules(string(saved))
		if !changed {
			continue
		}
		restore := exec.CommandContext(ctx, family+"-restore")
		restore.Stdin = strings.NewReader(kept)
		if output, err := restore.CombinedOutput(); err != nil {
			failures = append(failures, fmt.Errorf("restore the rules of %s: %w: %s", family, err, output))
		}
	}
	return errors.Join(failures...)
}

// withoutOurRules is a saved rule set less everything that names a chain of Kubernetes or
// of a CNI plugin.
func withoutOurRules(saved string) (kept string, changed bool) {
	var out strings.Builder
	for line := range strings.Lines(saved) {
		if strings.Contains(line, "KUBE-") || strings.Contains(line, "CNI-") {
			changed = true
			continue
		}
		out.WriteString(line)
	}
	return out.String(), changed
}

// removeCgroups removes the groups that killed containers leave empty.
func (l Layout) removeCgroups() error {
	roots, err := filepath.Glob("/sys/fs/cgroup/*/k8s.io")
	if err != nil {
		return err
	}
	for _, root := range append(roots, "/sys/fs/cgroup/k8s.io") {
		var groups []string
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, group := range slices.Backward(groups) {
			_ = os.Remove(group) // one that is not empty is not ours
		}
	}
	return nil
}

// foreignFiles are paths outside our folders that kubelet insists on.
var foreignFiles = []string{"/var/lib/kubelet", "/var/log/containers", "/var/log/pods", "/usr/libexec/kubernetes", "/etc/kubernetes"}

// rememberForeignFiles records which of them were there before us.
func rememberForeignFiles(l Layout) error {
	var missing []string
	for _, path := range foreignFiles {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
		}
	}
	return os.WriteFile(l.path("foreign-files"), []byte(strings.Join(missing, "\n")), 0o644)
}

func (l Layout) removeFiles() error {
	if made, err := os.ReadFile(l.path("foreign-files")); err == nil {
		for _, path := range strings.Fields(string(made)) {
			if slices.Contains(foreignFiles, path) {
				if err := os.RemoveAll(path); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(os.RemoveAll(l.State), os.RemoveAll(l.Run))
}

// DownRegistry ends a registry that UpRegistry started and removes its files.
func (l Layout) DownRegistry(ctx context.Context) error {
	return errors.Join(l.stop(ctx, "registry"), os.RemoveAll(l.State))
}
