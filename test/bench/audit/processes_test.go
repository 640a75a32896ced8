//go:build integration

package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
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
	// lookEvery is how often a scanner's memory is read.
	lookEvery = 5 * time.Millisecond
)

// program is the path of the program, which is built unless it is there.
func program(t *testing.T, binary string) string {
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

// server is a policy server.
type server struct {
	folder, api, metrics string
}

// certificate and key are the server's, in its folder.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
)

// startServer starts a policy server and waits until it is ready.
func startServer(t *testing.T, binary string, all []policy) *server {
	t.Helper()
	s := &server{folder: t.TempDir()}
	writeCertificate(t, s.folder)
	entries := contract.Policies{}
	for _, p := range all {
		entry, err := p.entry()
		if err != nil {
			t.Fatal(err)
		}
		entries[p.id()] = entry
	}
	text, err := contract.EncodePolicies(entries)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "policies.yml", text)
	ports := freePorts(t, 3)
	s.api, s.metrics = net.JoinHostPort(loopback, ports[0]), net.JoinHostPort(loopback, ports[2])
	command := child(t, binary, "policy-server", "--addr="+loopback, "--port="+ports[0], "--readiness-probe-port="+ports[1],
		"--enable-metrics", "--metrics-port="+ports[2], "--enable-pprof",
		"--cert-file="+s.file(certificateFile), "--key-file="+s.file(keyFile),
		"--policies="+s.file("policies.yml"), "--policies-download-dir="+s.file("store"),
		"--drain-period=0s", "--log-level=error")
	if err := command.Start(); err != nil {
		t.Fatal("start the policy server:", err)
	}
	t.Cleanup(func() { stop(t, command) })
	ready := "http://" + net.JoinHostPort(loopback, ports[1]) + contract.PathReadiness
	var last error
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = get(ctx, ready)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("the policy server is not ready within %s: %v", startTimeout, last)
	}
	return s
}

func (s *server) file(name string) string { return filepath.Join(s.folder, name) }

func (s *server) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(s.file(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// evaluations is how many the policy server has counted, for audits, since it started.
func (s *server) evaluations(t *testing.T) int {
	t.Helper()
	text, err := get(t.Context(), "http://"+s.metrics+"/metrics")
	if err != nil {
		t.Fatal("read the metrics of the policy server:", err)
	}
	// A counter that has counted nothing is not there; the others show what this is.
	if !bytes.Contains(text, []byte("kubewarden_policy_server_")) {
		t.Fatal("these are no metrics of a policy server")
	}
	series, err := read(bytes.NewReader(text), "kubewarden_policy_evaluations_total")
	if err != nil {
		t.Fatal(err)
	}
	return total(series, func(labels map[string]string) bool { return labels["request_origin"] == "audit" })
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", url, response.Status, body.String())
	}
	return body.Bytes(), nil
}

// child is a command in a process group of its own, which does not outlive the test.
func child(t *testing.T, binary string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(context.WithoutCancel(t.Context()), binary, arguments...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return command
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

// scanner starts audit scanners, which ask the policy server.
type scanner struct {
	binary, kubeconfig string
	arguments          []string
}

func newScanner(t *testing.T, binary string, c *cluster, at *server) *scanner {
	t.Helper()
	at.write(t, "kubeconfig", c.kubeconfig)
	// The numbers of what is done at once are the operator's defaults, which are the flags'.
	return &scanner{binary: binary, kubeconfig: at.file("kubeconfig"), arguments: []string{
		"audit-scanner", "--policy-server-url=https://" + at.api, "--extra-ca=" + at.file(certificateFile),
		"--ignore-namespaces=default,kube-node-lease,kube-public,kube-system",
	}}
}

// summary is what the scanner says in the end.
type summary struct {
	Message           string
	Pass, Fail, Error int
}

// run scans once. It returns the most memory that the scanner had, in bytes.
//
// That is read from /proc while it runs, and not from the usage that wait4 tells: there Linux
// counts what the parent had in memory when it started the child.
func (s *scanner) run(t *testing.T) (peak int64, said summary) {
	t.Helper()
	command := child(t, s.binary, s.arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	var output bytes.Buffer
	command.Stdout = &output
	if err := command.Start(); err != nil {
		t.Fatal("start the audit scanner:", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("scan: %v\n%s", err, output.String())
			}
			return peak, lastWords(t, &output)
		case <-ticker.C:
			// An error is of a process that has just ended.
			if now, err := highWater(command.Process.Pid); err == nil {
				peak = max(peak, now)
			}
		}
	}
}

// lastWords are the summary in a log of JSON lines.
func lastWords(t *testing.T, log *bytes.Buffer) summary {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var said summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &said); err != nil {
		t.Fatalf("read the summary: %v\n%s", err, log.String())
	}
	if said.Message != "audit scan finished" {
		t.Fatalf("the log does not end with a summary:\n%s", log.String())
	}
	return said
}

// highWater is the most memory that a process had so far, in bytes (proc_pid_status(5): VmHWM).
func highWater(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("there is no VmHWM"))
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

// writeCertificate makes a serving certificate, signed by itself.
func writeCertificate(t *testing.T, folder string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(loopback)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certificateFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
