//go:build integration

package context

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	loopback = "127.0.0.1"
	// stopTimeout is how long the policy server may take to end.
	stopTimeout = 30 * time.Second
)

// program is the path of the program, which is built unless it is there.
func program(t *testing.T, binary string) string {
	t.Helper()
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "kubewarden")
		command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/kubewarden")
		command.Dir = filepath.Join("..", "..", "..")
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, output)
		}
	}
	return binary
}

// policy is a module that reads a kind.
type policy struct {
	name   string
	module []byte
	reads  contract.ContextAwareResource
}

// server is a policy server with one policy.
type server struct {
	url     string
	command *exec.Cmd
}

// startServer starts a policy server, without TLS, and waits until it is ready. It ends with
// the test.
func startServer(t *testing.T, binary string, kubeconfig []byte, p policy) *server {
	t.Helper()
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	id := contract.ClusterAdmissionPolicyID(p.name)
	entries, err := contract.EncodePolicies(contract.Policies{id: {
		Module: "file://" + file("policy.wasm"), HostCapabilities: []string{"kubernetes/*"}, ContextAwareResources: []contract.ContextAwareResource{p.reads},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"policy.wasm": p.module, "policies.yml": entries, "kubeconfig": kubeconfig} {
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ports := freePorts(t, 2)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "policy-server", "--addr="+loopback, "--port="+ports[0],
		"--readiness-probe-port="+ports[1], "--policies="+file("policies.yml"), "--policies-download-dir="+file("store"),
		"--drain-period=0s", "--log-level=error")
	command.Env = append(os.Environ(), "KUBECONFIG="+file("kubeconfig"))
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal("start the policy server:", err)
	}
	t.Cleanup(func() { stop(t, command) })
	ready := "http://" + net.JoinHostPort(loopback, ports[1]) + contract.PathReadiness
	var last error
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = exchange(ctx, http.MethodGet, ready, nil)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("the policy server is not ready within %s: %v", startTimeout, last)
	}
	return &server{url: "http://" + net.JoinHostPort(loopback, ports[0]) + "/validate/" + id, command: command}
}

// exchange sends a request.
func exchange(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", url, response.Status, answer)
	}
	return answer, nil
}

// review is what is asked.
const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},` +
	`"resource":{"group":"","version":"v1","resource":"pods"},"name":"p","namespace":"team-0001","operation":"CREATE","userInfo":{"username":"admin"},` +
	`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"team-0001"},"spec":{"containers":[{"name":"c","image":"registry.example/app:1"}]}}}}`

// ask asks once and says how long that took. Any verdict but an acceptance is an error.
func (s *server) ask(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	answer, err := exchange(ctx, http.MethodPost, s.url, []byte(review))
	took := time.Since(began)
	if err != nil {
		return took, err
	}
	var decoded struct {
		Response struct {
			Allowed bool `json:"allowed"`
		} `json:"response"`
	}
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return took, fmt.Errorf("decode answer: %w", err)
	}
	if !decoded.Response.Allowed {
		return took, fmt.Errorf("want an acceptance, got %s", answer)
	}
	return took, nil
}

// memory is what the server has now, in bytes (proc_pid_status(5): VmRSS).
func (s *server) memory() (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "VmRSS:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("there is no VmRSS"))
}

// stop ends a process that still runs.
func stop(t *testing.T, command *exec.Cmd) {
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

// freePorts are ports that were free a moment ago.
func freePorts(t *testing.T, count int) []string {
	t.Helper()
	ports := make([]string, 0, count)
	for range count {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(loopback, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}
