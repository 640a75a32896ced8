//go:build integration

package audit

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/child"
	"github.com/kubewarden/kubewarden-operator/test/bench/child/childtest"
)

// lookEvery is how often a scanner's memory is read.
const lookEvery = 5 * time.Millisecond

// server is a policy server.
type server struct {
	folder, api, metrics string
	pid                  int
}

// startServer starts a policy server and waits until it is ready.
func startServer(t *testing.T, binary string, all []policy) *server {
	t.Helper()
	s := &server{folder: t.TempDir()}
	if _, err := child.WriteCertificate(s.folder); err != nil {
		t.Fatal(err)
	}
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
	ports := childtest.FreePorts(t, 3)
	s.api, s.metrics = net.JoinHostPort(child.Loopback, ports[0]), net.JoinHostPort(child.Loopback, ports[2])
	command := childtest.Command(t, binary, "policy-server", "--addr="+child.Loopback, "--port="+ports[0], "--readiness-probe-port="+ports[1],
		"--enable-metrics", "--metrics-port="+ports[2], "--enable-pprof",
		"--cert-file="+s.file(child.CertificateFile), "--key-file="+s.file(child.KeyFile),
		"--policies="+s.file("policies.yml"), "--policies-download-dir="+s.file("store"),
		"--drain-period=0s", "--log-level=error")
	childtest.Serve(t, command, ports[1])
	s.pid = command.Process.Pid
	return s
}

func (s *server) file(name string) string { return filepath.Join(s.folder, name) }

func (s *server) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(s.file(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cpu is how long it has run so far, in seconds of one processor.
func (s *server) cpu(t *testing.T) float64 {
	t.Helper()
	return cpuOf(t, s.pid)
}

// evaluations is how many the policy server has counted, for audits, since it started.
func (s *server) evaluations(t *testing.T) int {
	t.Helper()
	text, err := childtest.Get(t.Context(), "http://"+s.metrics+"/metrics")
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
		"audit-scanner", "--policy-server-url=https://" + at.api, "--extra-ca=" + at.file(child.CertificateFile),
		"--ignore-namespaces=default,kube-node-lease,kube-public,kube-system",
	}}
}

// summary is what the scanner says in the end.
type summary struct {
	Message           string
	Pass, Fail, Error int
}

// cost is what a scan took of the machine.
type cost struct {
	// peak is the most memory that the scanner had, in bytes.
	peak int64
	// cpu is how long it ran, in seconds of one processor.
	cpu float64
}

// run scans once.
//
// Memory is read from /proc while it runs, and not from the usage that wait4 tells: there Linux
// counts what the parent had in memory when it started the child.
func (s *scanner) run(t *testing.T) (took cost, said summary) {
	t.Helper()
	command := childtest.Command(t, s.binary, s.arguments...)
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
			took.cpu = (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
			return took, lastWords(t, &output)
		case <-ticker.C:
			// An error is of a process that has just ended.
			if now, err := child.Memory(command.Process.Pid, child.HighWater); err == nil {
				took.peak = max(took.peak, now)
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
