package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// loopback is the only address that anything is dialled at.
const loopback = "127.0.0.1"

// Times that a server may take.
const (
	startTimeout = 2 * time.Minute // modules are compiled, on a busy machine
	askReady     = 5 * time.Millisecond
	stopTimeout  = 30 * time.Second
)

// server is a policy server that runs as a child.
type server struct {
	command        *exec.Cmd
	ended          chan struct{} // closed when the process is gone
	endedBy        error         // what Wait said, after that
	dir            string
	roots          *x509.CertPool
	api, readiness string
	metrics        string
	readyAfter     time.Duration // from the start of the process
}

// serverConfig is what a server is started with.
type serverConfig struct {
	binary string
	// dir is a folder of the server's own: policies.yml, certificate, store.
	dir      string
	logLevel string
	cgroup   *cgroup // nil for none
	log      io.Writer
}

// Files of a server, in its folder.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
	// storeFolder has the modules that it loaded, and what it compiled.
	storeFolder = "store"
)

// startServer starts a server and waits until it is ready. The policies are in the folder
// already. stop has to be called.
func startServer(ctx context.Context, config serverConfig) (*server, error) {
	s, err := newServer(ctx, config.dir)
	if err != nil {
		return nil, err
	}
	program, arguments := config.binary, s.arguments(config.logLevel)
	if config.cgroup != nil {
		program, arguments = config.cgroup.command(program, arguments...)
	}
	return s, s.start(ctx, config.log, program, arguments...)
}

// newServer finds addresses for a server and makes its certificate.
func newServer(ctx context.Context, dir string) (*server, error) {
	s := &server{dir: dir, ended: make(chan struct{})}
	var err error
	if s.roots, err = writeCertificate(dir); err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	s.api, s.readiness, s.metrics = net.JoinHostPort(loopback, ports[0]), net.JoinHostPort(loopback, ports[1]), net.JoinHostPort(loopback, ports[2])
	return s, nil
}

// start starts a program as the server and waits until it is ready; after an error it is
// stopped.
func (s *server) start(ctx context.Context, log io.Writer, program string, arguments ...string) error {
	// Not of ctx: an interrupt ends the requests first and the server by stop.
	s.command = exec.CommandContext(context.WithoutCancel(ctx), program, arguments...)
	s.command.Stdout, s.command.Stderr = log, log
	// A group of its own: an interrupt from a terminal would reach the server, too. When we
	// are killed, the server is not to stay.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := time.Now()
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	go func() {
		s.endedBy = s.command.Wait()
		close(s.ended)
	}()
	if err := s.waitReady(ctx); err != nil {
		return errors.Join(err, s.stop())
	}
	s.readyAfter = time.Since(started)
	return nil
}

func (s *server) arguments(logLevel string) []string {
	port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
	return []string{
		"policy-server", "--addr=" + loopback, "--port=" + port(s.api), "--readiness-probe-port=" + port(s.readiness),
		"--enable-metrics", "--metrics-port=" + port(s.metrics),
		"--cert-file=" + filepath.Join(s.dir, certificateFile), "--key-file=" + filepath.Join(s.dir, keyFile),
		"--policies=" + filepath.Join(s.dir, "policies.yml"), "--policies-download-dir=" + filepath.Join(s.dir, storeFolder),
		"--drain-period=0s", "--log-level=" + logLevel,
	}
}

// waitReady asks the probe until it says yes.
func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	transport := &http.Transport{DialContext: dialLoopback}
	defer transport.CloseIdleConnections()
	asks := &http.Client{Timeout: time.Second, Transport: transport}
	ticker := time.NewTicker(askReady)
	defer ticker.Stop()
	last := errors.New("it was not asked yet")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w; the last answer: %w", ctx.Err(), last)
		case <-s.ended:
			return fmt.Errorf("the server ended before it was ready: %w", s.endedBy)
		case <-ticker.C:
		}
		if last = probe(ctx, asks, "http://"+s.readiness+contract.PathReadiness); last == nil {
			return nil
		}
	}
}

func probe(ctx context.Context, asks *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := asks.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// while runs something that is to end when the server does, and has failed then.
func (s *server) while(ctx context.Context, run func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-s.ended:
		case <-ctx.Done():
		}
	}()
	err := run(ctx)
	if ended := s.alive(); ended != nil {
		return ended
	}
	return err
}

// alive is an error when the server has ended by itself.
func (s *server) alive() error {
	select {
	case <-s.ended:
		return fmt.Errorf("the server has ended: %w", s.endedBy)
	default:
		return nil
	}
}

// stop ends the server, by force when it takes too long, which is an error. So is a server
// that does not end well; of one that had ended before, alive has told.
func (s *server) stop() error {
	if s.alive() != nil {
		return nil
	}
	// An error means that it has ended in between, which Wait tells.
	_ = s.command.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		_ = s.command.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server did not stop in %s and was killed", stopTimeout)
	}
	if s.endedBy != nil {
		return fmt.Errorf("stop server: %w", s.endedBy)
	}
	return nil
}

// rss reads how much memory of the server is resident, in bytes.
func (s *server) rss() (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of the server: %w", err)
	}
	defer func() { _ = file.Close() }()
	return parseRSS(file)
}

// parseRSS finds VmRSS, which the kernel gives in units of 1,024 bytes (proc_pid_status(5)).
func parseRSS(status io.Reader) (int64, error) {
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		value, found := strings.CutPrefix(lines.Text(), "VmRSS:")
		if !found {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read VmRSS: %w", err)
		}
		return kilobytes << 10, nil
	}
	return 0, errors.Join(errors.New("there is no VmRSS: the process has ended"), lines.Err())
}

// freePorts finds ports that nobody listens on. Another process may take one before the
// server does, which then does not start.
func freePorts(ctx context.Context, count int) ([]string, error) {
	ports := make([]string, 0, count)
	for range count {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback+":0")
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// writeCertificate makes a serving certificate, signed by itself, as files of a server.
func writeCertificate(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(loopback)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		certificateFile: chain, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, fmt.Errorf("write certificate: %w", err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	return roots, nil
}
