package childtest

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

const (
	// startTimeout is for a machine that has other things to do.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long a child may take to end.
	stopTimeout = 30 * time.Second
)

// Program is the path of the program, which is built from the repository at root unless it is
// there.
func Program(t testing.TB, root, binary string) string {
	t.Helper()
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "kubewarden")
		command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/kubewarden")
		command.Dir = root
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, output)
		}
	}
	return binary
}

// FreePorts are those of child.FreePorts.
func FreePorts(t testing.TB, count int) []string {
	t.Helper()
	ports, err := child.FreePorts(t.Context(), count)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// Command is one in a process group of its own, which does not outlive the test.
func Command(t testing.TB, binary string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(context.WithoutCancel(t.Context()), binary, arguments...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return command
}

// Serve starts a policy server and waits until the probe at that port says that it is ready. It
// ends with the test.
func Serve(t testing.TB, command *exec.Cmd, readinessPort string) {
	t.Helper()
	if err := command.Start(); err != nil {
		t.Fatal("start the policy server:", err)
	}
	t.Cleanup(func() { stop(t, command) })
	ready := "http://" + net.JoinHostPort(child.Loopback, readinessPort) + contract.PathReadiness
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = Get(ctx, ready)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("the policy server is not ready within %s: %v", startTimeout, last)
	}
}

// stop ends a process that still runs.
func stop(t testing.TB, command *exec.Cmd) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s has ended by itself: %v, %v", command.Path, err, <-ended)
		return
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%s did not end well: %v", command.Path, err)
		}
	case <-time.After(stopTimeout):
		t.Errorf("%s did not end within %s: %v", command.Path, stopTimeout, errors.Join(command.Process.Kill(), <-ended))
	}
}
