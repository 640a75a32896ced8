package node

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestDownAfterACrash(t *testing.T) {
	layout := newTestLayout(t)
	socket := filepath.Join(t.TempDir(), "shim.sock")
	write(t, socket, "")
	write(t, filepath.Join(layout.tasks(), "0123", "address"), "unix://"+socket+"\n")
	if err := layout.start(sleeper(t, "sleep 60; true")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := layout.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := layout.marked(""); len(got) > 0 {
			t.Errorf("processes %v are there after down", got)
		}
		for _, path := range []string{layout.State, layout.Run, socket} {
			if exists(path) {
				t.Errorf("%s is there after down", path)
			}
		}
	}
}

func TestStopNeedsACluster(t *testing.T) {
	if err := newTestLayout(t).Stop(t.Context()); err == nil || err.Error() != "there is no cluster to stop" {
		t.Errorf("Stop = %v where there is no cluster", err)
	}
}

// The machine's own firewall and links stay out of this: the node never ran.
func TestHaltSparesOneComponent(t *testing.T) {
	layout := newTestLayout(t)
	for _, name := range []string{"registry", "etcd"} {
		component := sleeper(t, "sleep 60; true")
		component.name = name
		if err := layout.start(component); err != nil {
			t.Fatal(err)
		}
	}
	registry := layout.PID("registry")
	if _, err := layout.halt(t.Context(), false, "registry"); err != nil {
		t.Fatal(err)
	}
	if registry == 0 || layout.PID("registry") != registry || layout.PID("etcd") != 0 {
		t.Errorf("the registry is process %d, was %d, and etcd is process %d", layout.PID("registry"), registry, layout.PID("etcd"))
	}
}

func TestStopComponentsStopsThoseAlone(t *testing.T) {
	layout := newTestLayout(t)
	for _, name := range []string{"kubelet", "etcd"} {
		component := sleeper(t, "sleep 60; true")
		component.name = name
		if err := layout.start(component); err != nil {
			t.Fatal(err)
		}
	}
	if err := layout.StopComponents(t.Context(), "kubelet"); err != nil {
		t.Fatal(err)
	}
	if layout.PID("kubelet") != 0 || layout.PID("etcd") == 0 {
		t.Errorf("after stop kubelet: kubelet is process %d, etcd is process %d", layout.PID("kubelet"), layout.PID("etcd"))
	}
	err := layout.StopComponents(t.Context(), "kublet")
	if err == nil || !strings.HasPrefix(err.Error(), `component is "kublet"; allowed are etcd, `) {
		t.Errorf("StopComponents = %v", err)
	}
}

func TestDownKeepsTheFilesOfARecordItCannotRead(t *testing.T) {
	layout := newTestLayout(t)
	write(t, layout.machineFile(), "not JSON")
	if err := layout.Down(t.Context()); err == nil || !strings.Contains(err.Error(), layout.machineFile()) {
		t.Errorf("Down = %v, want an error that names the record", err)
	}
	if !exists(layout.machineFile()) {
		t.Error("the record is gone")
	}
}

func TestContainerIDs(t *testing.T) {
	layout := newTestLayout(t)
	if got := layout.containerIDs(); len(got) > 0 {
		t.Errorf("containers %v where containerd never ran", got)
	}
	service := layout.path("containerd", "io.containerd.grpc.v1.cri")
	for _, path := range []string{
		filepath.Join(layout.tasks(), "sandbox1", "pid"),
		filepath.Join(layout.tasks(), "container1", "pid"),
		filepath.Join(service, "sandboxes", "sandbox1", "hostname"),
		filepath.Join(service, "sandboxes", "stopped", "hostname"),
		filepath.Join(service, "containers", "container1", "status"),
	} {
		write(t, path, "")
	}
	want := []string{"container1", "sandbox1", "stopped"}
	if diff := cmp.Diff(want, layout.containerIDs()); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestOnlyAbandonedSocketsGoBeforeContainerdStarts(t *testing.T) {
	layout := newTestLayout(t)
	folder := t.TempDir()
	listeners := map[string]*net.UnixListener{}
	for _, name := range []string{"alive", "dead"} {
		path := filepath.Join(folder, name)
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		t.Cleanup(func() { _ = listener.Close() })
		listeners[name] = listener
		write(t, filepath.Join(layout.tasks(), name, "address"), "unix://"+path)
	}
	if err := listeners["dead"].Close(); err != nil {
		t.Fatal(err)
	}
	if err := layout.removeShimSockets(isAbandoned); err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(folder, "alive")) || exists(filepath.Join(folder, "dead")) {
		t.Errorf("sockets: alive is there %t, dead is there %t", exists(filepath.Join(folder, "alive")), exists(filepath.Join(folder, "dead")))
	}
}

func TestMachineIsRemembered(t *testing.T) {
	layout := newTestLayout(t)
	if _, known, err := layout.recall(); known || err != nil {
		t.Errorf("recall = %t, %v before anything was remembered", known, err)
	}
	want := observeMachine()
	for name := range want.Settings {
		if _, changed := kernelSettings[name]; !changed {
			t.Errorf("setting %s was observed, which the node does not change", name)
		}
	}
	if err := layout.remember(want); err != nil {
		t.Fatal(err)
	}
	got, known, err := layout.recall()
	if !known || err != nil {
		t.Fatalf("recall = %t, %v", known, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
}

func TestRemoveMatching(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"pods-0123-eth0", "pods-4567-eth0", "other"} {
		write(t, filepath.Join(folder, name), "")
	}
	ours := func(path string) bool { return strings.Contains(path, "-0123-") }
	for range 2 {
		if err := removeMatching(folder, ours); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(entries))
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if want := []string{"other", "pods-4567-eth0"}; !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v", got, want)
	}
	if err := removeMatching(filepath.Join(folder, "nothing"), ours); err != nil {
		t.Errorf("removeMatching in a folder that is not there: %v", err)
	}
}

func TestAFileIsWrittenWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	for _, want := range []string{"first", "second"} {
		if err := writeWhole(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
	}
	if _, err := os.Stat(path + ".unfinished"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the unfinished file is left")
	}
}
