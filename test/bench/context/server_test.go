//go:build integration

package context

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/child"
	"github.com/kubewarden/kubewarden-operator/test/bench/child/childtest"
)

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
	ports := childtest.FreePorts(t, 2)
	command := childtest.Command(t, binary, "policy-server", "--addr="+child.Loopback, "--port="+ports[0],
		"--readiness-probe-port="+ports[1], "--policies="+file("policies.yml"), "--policies-download-dir="+file("store"),
		"--drain-period=0s", "--log-level=error")
	command.Env = append(os.Environ(), "KUBECONFIG="+file("kubeconfig"))
	childtest.Serve(t, command, ports[1])
	return &server{url: "http://" + net.JoinHostPort(child.Loopback, ports[0]) + "/validate/" + id, command: command}
}

// review is what is asked.
const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},` +
	`"resource":{"group":"","version":"v1","resource":"pods"},"name":"p","namespace":"team-0001","operation":"CREATE","userInfo":{"username":"admin"},` +
	`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"team-0001"},"spec":{"containers":[{"name":"c","image":"registry.example/app:1"}]}}}}`

// ask asks once and says how long that took. Any verdict but an acceptance is an error.
func (s *server) ask(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	answer, err := childtest.Post(ctx, s.url, []byte(review))
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

// memory is what the server has now, in bytes.
func (s *server) memory() (int64, error) { return child.Memory(s.command.Process.Pid, child.Resident) }
