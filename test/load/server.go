package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/child"
	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

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

// storeFolder has the modules that a server loaded, and what it compiled, in its folder.
const storeFolder = "store"

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
	if s.roots, err = child.WriteCertificate(dir); err != nil {
		return nil, err
	}
	ports, err := child.FreePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	s.api, s.readiness, s.metrics = net.JoinHostPort(child.Loopback, ports[0]), net.JoinHostPort(child.Loopback, ports[1]), net.JoinHostPort(child.Loopback, ports[2])
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
		"policy-server", "--addr=" + child.Loopback, "--port=" + port(s.api), "--readiness-probe-port=" + port(s.readiness),
		"--enable-metrics", "--metrics-port=" + port(s.metrics),
		"--cert-file=" + filepath.Join(s.dir, child.CertificateFile), "--key-file=" + filepath.Join(s.dir, child.KeyFile),
		"--policies=" + filepath.Join(s.dir, "policies.yml"), "--policies-download-dir=" + filepath.Join(s.dir, storeFolder),
		"--drain-period=0s", "--log-level=" + logLevel,
	}
}

// waitReady asks the probe until it says yes.
func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	transport := &http.Transport{DialContext: floor.DialLoopback}
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
func (s *server) rss() (int64, error) { return child.Memory(s.command.Process.Pid, child.Resident) }
