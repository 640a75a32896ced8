package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// machine is what the machine was like before the node, as far as the node changes it
// outside of its own folders. Down puts it back.
type machine struct {
	// Missing are those of sharedPaths that were not there.
	Missing []string `json:"missing"`
	// Settings are the values that kernel settings had, by path.
	Settings map[string]string `json:"settings"`
}

// sharedPaths are paths outside the node's folders that its programs insist on, the
// outermost first.
func sharedPaths() []string {
	return slices.Concat([]string{
		"/var/lib/kubelet",
		"/var/lib/kubelet/device-plugins",
		"/var/lib/kubelet/device-plugins/kubelet.sock",
		"/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
		"/var/log/containers",
		"/var/lib/cni",
		networkResults,
		"/run/containerd",
		"/run/containerd/s", // the sockets of shims
		"/run/mount",        // mount(8) makes it
		"/run/mount/utab",
	}, cgroupParents())
}

// networkResults is where the CNI library remembers what it did for each sandbox.
const networkResults = "/var/lib/cni/results"

// kernelSettings are the kernel settings that the node's programs change, below /proc/sys,
// and the values they write: kubelet all but the last, which is the Pod network's.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
	"net/ipv4/ip_forward":       "1",
}

const settingsDir = "/proc/sys"

// observeMachine looks at the machine before the node changes it.
func observeMachine() machine {
	seen := machine{Settings: map[string]string{}}
	for _, path := range sharedPaths() {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			seen.Missing = append(seen.Missing, path)
		}
	}
	for name := range kernelSettings {
		if value, err := readSetting(name); err == nil {
			seen.Settings[name] = value
		}
	}
	return seen
}

// remember records what the machine is like, once in the life of a cluster.
func (l Layout) remember(seen machine) error {
	content, err := json.MarshalIndent(seen, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(l.machineFile(), append(content, '\n'))
}

// recall is what remember recorded; known is false where no node was ever prepared.
func (l Layout) recall() (seen machine, known bool, err error) {
	content, err := os.ReadFile(l.machineFile())
	if errors.Is(err, fs.ErrNotExist) {
		return machine{}, false, nil
	}
	if err != nil {
		return machine{}, false, err
	}
	if err := json.Unmarshal(content, &seen); err != nil {
		return machine{}, false, fmt.Errorf("read %s: %w", l.machineFile(), err)
	}
	return seen, true, nil
}

func (l Layout) machineFile() string { return l.path("machine.json") }

// restoreSettings puts back the kernel settings that still have the value the node gave
// them; one that has another by now was changed by somebody else and stays.
func (m machine) restoreSettings() error {
	var failures []error
	for name, before := range m.Settings {
		current, err := readSetting(name)
		if err != nil || current == before || current != kernelSettings[name] {
			continue
		}
		if err := os.WriteFile(filepath.Join(settingsDir, name), []byte(before), 0o644); err != nil {
			failures = append(failures, fmt.Errorf("restore kernel setting %s: %w", name, err))
		}
	}
	return errors.Join(failures...)
}

func readSetting(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(settingsDir, name))
	return strings.TrimSpace(string(content)), err
}

// removeShared removes the node's own files from the folders it shares with the machine,
// and those of sharedPaths that it made and that nobody else has put anything into since.
// ids are the node's containers and sandboxes.
func (l Layout) removeShared(seen machine, ids []string) error {
	failures := []error{
		removeMatching("/var/log/containers", func(path string) bool {
			target, err := os.Readlink(path)
			return err == nil && strings.HasPrefix(target, l.State+"/")
		}),
		removeMatching(networkResults, func(path string) bool {
			return slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(path, "-"+id+"-") })
		}),
	}
	for _, path := range slices.Backward(sharedPaths()) {
		if !slices.Contains(seen.Missing, path) {
			continue
		}
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !isInUse(err) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// isInUse says that a folder was not removed because it is not empty; of control groups
// the kernel says so by another number.
func isInUse(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.EBUSY)
}

func removeMatching(folder string, ours func(path string) bool) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	failures := []error{err}
	for _, entry := range entries {
		if path := filepath.Join(folder, entry.Name()); ours(path) {
			failures = append(failures, os.Remove(path))
		}
	}
	return errors.Join(failures...)
}

// podLinks are the links of the machine that lead to Pods: each carries an address of the
// Pod network, which nothing else has.
func podLinks() ([]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		if slices.ContainsFunc(addresses, inPodRange) {
			names = append(names, link.Name)
		}
	}
	return names, nil
}

func inPodRange(address net.Addr) bool {
	network, ok := address.(*net.IPNet)
	return ok && inRange(network.IP, PodRange)
}
