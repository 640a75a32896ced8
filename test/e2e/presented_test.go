//go:build e2e && e2e_rotation

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// forwarded is how kubectl says which port of this machine leads to a Pod.
var forwarded = regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:[0-9]+) `)

// presented is the chain that a replica presents to whoever connects. Whether it is to be
// trusted is for the caller to find out.
func presented(t *testing.T, pod corev1.Pod) []*x509.Certificate {
	t.Helper()
	chain, err := chainOf(t.Context(), pod)
	if err != nil {
		t.Fatalf("ask Pod %s for its certificate: %v", pod.Name, err)
	}
	return chain
}

func chainOf(ctx context.Context, pod corev1.Pod) (_ []*x509.Certificate, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	command := exec.CommandContext(ctx, "kubectl", "--namespace="+pod.Namespace, "port-forward", "--address=127.0.0.1", "pod/"+pod.Name, ":8443")
	output, err := command.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := command.Start(); err != nil {
		cancel()
		return nil, err
	}
	defer func() {
		cancel()
		_ = command.Wait() // it was ended
	}()
	lines := bufio.NewScanner(output)
	if !lines.Scan() {
		return nil, fmt.Errorf("kubectl port-forward ended: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
	}
	address := forwarded.FindStringSubmatch(lines.Text())
	if address == nil {
		return nil, fmt.Errorf("kubectl port-forward says %q", lines.Text())
	}
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", address[1])
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates, nil
}
