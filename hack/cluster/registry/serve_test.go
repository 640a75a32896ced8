package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestServe(t *testing.T) {
	config, transport := newTestConfig(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, config) }()
	awaitListener(t, config.Address)

	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(config.Address + "/policies/test:1")
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithTransport(transport)}
	if err := remote.Write(tag, image, options...); err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(tag, options...)
	if err != nil {
		t.Fatal(err)
	}
	want, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pulled.Digest(); err != nil || got != want {
		t.Errorf("pulled %s, %v; want %s", got, err, want)
	}
	tell(t, Leave)
	awaitRefusal(t, config.Address)
	tell(t, Return)
	awaitListener(t, config.Address)
	if _, err := remote.Head(tag, options...); err != nil {
		t.Errorf("what was pushed is gone with the listener: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v after its context ended", err)
	}
}

func awaitListener(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = connection.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func tell(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), signal); err != nil {
		t.Fatal(err)
	}
}

func awaitRefusal(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = connection.Close()
		}
		if ctx.Err() != nil {
			t.Fatalf("connections to %s are still not refused: %v", address, err)
		}
	}
}

func TestServeEndsWhileAway(t *testing.T) {
	config, _ := newTestConfig(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, config) }()
	awaitListener(t, config.Address)
	tell(t, Leave)
	awaitRefusal(t, config.Address)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v after its context ended", err)
	}
}

func TestServeSaysWhereItCannotListen(t *testing.T) {
	config, _ := newTestConfig(t)
	listener, err := net.Listen("tcp", config.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if err := Serve(t.Context(), config); err == nil {
		t.Error("Serve returned nil on an address that is taken")
	}
}

// newTestConfig is a configuration with a free port, and a client that trusts its certificate.
func newTestConfig(t *testing.T) (Config, http.RoundTripper) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	config := Config{
		Address:  server.Listener.Addr().String(),
		Dir:      filepath.Join(dir, "blobs"),
		CertFile: filepath.Join(dir, "tls.crt"),
		KeyFile:  filepath.Join(dir, "tls.key"),
	}
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		config.CertFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		config.KeyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return config, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}
