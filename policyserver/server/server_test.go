package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// running is a server that has been started.
type running struct {
	*Server

	stop, hurry context.CancelFunc
	ended       chan error
	ready       atomic.Bool
}

func start(t *testing.T, config Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	hurried, hurry := context.WithCancel(context.Background())
	r := &running{stop: stop, hurry: hurry, ended: make(chan error, 1)}
	r.ready.Store(true)
	config.APIAddress, config.ReadinessAddress = "127.0.0.1:0", "127.0.0.1:0"
	config.Ready = func() error {
		if !r.ready.Load() {
			return errors.New("policy x is being loaded")
		}
		return nil
	}
	if config.Age == (Age{}) {
		config.Age = DefaultAge
	}
	config.ShutdownTimeout, config.Logger, config.Now = 10*time.Second, slog.New(slog.DiscardHandler), time.Now
	var err error
	if r.Server, err = Listen(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.Run(ctx, hurried) }()
	t.Cleanup(func() {
		stop()
		hurry()
	})
	return r
}

func (r *running) probe(t *testing.T) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + r.Address("readiness") + contract.PathReadiness)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// tlsClient trusts one certificate; withH2 says what it may speak.
func tlsClient(t *testing.T, trusted *pair, own ...tls.Certificate) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(trusted.parsed)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: own}, ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

func certificatesOf(t *testing.T, p *pair, clientCAs ...string) (*Certificates, *secretVolume) {
	t.Helper()
	volume := &secretVolume{dir: t.TempDir()}
	volume.writePair(t, p)
	certificates, _ := load(t, volume.dir, clientCAs...)
	return certificates, volume
}

// hello answers with the protocol and the address of the client: each connection has one
// of its own.
var hello = http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
	_, _ = io.WriteString(writer, request.Proto+" "+request.RemoteAddr)
})

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}

func TestServerProtocols(t *testing.T) {
	own := issue(t, "own", nil)
	certificates, _ := certificatesOf(t, own)
	secure, plain := start(t, Config{API: hello, Certificates: certificates}), start(t, Config{API: hello})
	oldClient := tlsClient(t, own)
	oldClient.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	priorKnowledge := &http.Transport{Protocols: new(http.Protocols)}
	priorKnowledge.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(priorKnowledge.CloseIdleConnections)
	for name, tc := range map[string]struct {
		client    *http.Client
		url, want string
	}{
		"TLS, h2":         {tlsClient(t, own), "https://" + secure.Address("API"), "HTTP/2.0 "},
		"TLS, HTTP/1.1":   {oldClient, "https://" + secure.Address("API"), "HTTP/1.1 "},
		"plain, HTTP/1.1": {http.DefaultClient, "http://" + plain.Address("API"), "HTTP/1.1 "},
		"plain, h2":       {&http.Client{Transport: priorKnowledge}, "http://" + plain.Address("API"), "HTTP/2.0 "},
	} {
		t.Run(name, func(t *testing.T) {
			if got := get(t, tc.client, tc.url); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestServerPresentsTheNewCertificate(t *testing.T) {
	first, second := issue(t, "first", nil), issue(t, "second", nil)
	certificates, volume := certificatesOf(t, first)
	server := start(t, Config{API: hello, Certificates: certificates})
	url := "https://" + server.Address("API")
	kept := tlsClient(t, first)
	before := get(t, kept, url)
	volume.writePair(t, second)
	if err := certificates.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, tlsClient(t, second), url); !strings.HasPrefix(got, "HTTP/2.0") {
		t.Errorf("got %q", got)
	}
	if got := get(t, kept, url); got != before {
		t.Errorf("got %q on the connection that was there, want %q: it goes on", got, before)
	}
	if _, err := tlsClient(t, first).Get(url); err == nil { //nolint:bodyclose // it is an error
		t.Error("the old certificate is still presented")
	}
}

func TestServerAsksForClientCertificates(t *testing.T) {
	own, authority, stranger := issue(t, "own", nil), issue(t, "authority", nil), issue(t, "stranger", nil)
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, authority.certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	certificates, _ := certificatesOf(t, own, path)
	server := start(t, Config{API: hello, Certificates: certificates})
	url := "https://" + server.Address("API")
	if got := get(t, tlsClient(t, own, issue(t, "client", authority).tls(t)), url); !strings.HasPrefix(got, "HTTP/2.0") {
		t.Errorf("got %q", got)
	}
	for name, client := range map[string]*http.Client{
		"no certificate": tlsClient(t, own), "one of a stranger": tlsClient(t, own, issue(t, "client", stranger).tls(t)),
	} {
		if _, err := client.Get(url); err == nil { //nolint:bodyclose // it is an error
			t.Errorf("%s: got in", name)
		}
	}
	if status, _ := server.probe(t); status != 200 {
		t.Errorf("got status %d from the probe, want 200: it needs no certificate", status)
	}
}

func TestServerReadiness(t *testing.T) {
	server := start(t, Config{API: hello})
	if status, body := server.probe(t); status != 200 || body != "" {
		t.Errorf("got status %d, body %q; want 200 and nothing", status, body)
	}
	server.ready.Store(false)
	if status, body := server.probe(t); status != 503 || !strings.Contains(body, "policy x is being loaded") {
		t.Errorf("got status %d, body %q; want 503 and why", status, body)
	}
	response, err := http.Get("http://" + server.Address("readiness") + "/other")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("got status %d for another path, want 404", response.StatusCode)
	}
}

func TestServerConnectionsAge(t *testing.T) {
	own := issue(t, "own", nil)
	for name, tc := range map[string]struct {
		age    Age
		client func(*testing.T) *http.Client
		secure bool
	}{
		"h2, by requests":       {age: Age{Mean: time.Hour, Requests: 10}, secure: true},
		"h2, by time":           {age: Age{Mean: 20 * time.Millisecond, Requests: 1 << 40}, secure: true},
		"HTTP/1.1, by requests": {age: Age{Mean: time.Hour, Requests: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			config, url, client := Config{API: hello, Age: tc.age}, "http://", http.DefaultClient
			if tc.secure {
				config.Certificates, _ = certificatesOf(t, own)
				url, client = "https://", tlsClient(t, own)
			}
			server := start(t, config)
			seen := map[string]int{}
			for len(seen) < 4 {
				seen[get(t, client, url+server.Address("API"))]++
			}
			for address, requests := range seen {
				if int64(requests) > tc.age.Requests {
					t.Errorf("got %d requests over %s, want at most %d", requests, address, tc.age.Requests)
				}
			}
		})
	}
}

func TestServerConnectionsStayWhileYoung(t *testing.T) {
	server := start(t, Config{API: hello})
	first := get(t, http.DefaultClient, "http://"+server.Address("API"))
	for range 20 {
		if got := get(t, http.DefaultClient, "http://"+server.Address("API")); got != first {
			t.Fatalf("got %q, want the same connection as before, %q", got, first)
		}
	}
}

// A server that is told to stop becomes unready at once, answers until the drain period is
// over, lets running requests end, and only then goes.
func TestServerStopsWithoutLosingARequest(t *testing.T) {
	own := issue(t, "own", nil)
	certificates, _ := certificatesOf(t, own)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	api := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/slow" {
			entered <- struct{}{}
			<-release
		}
		hello(writer, request)
	})
	server := start(t, Config{API: api, Certificates: certificates, DrainPeriod: time.Hour})
	client, url := tlsClient(t, own), "https://"+server.Address("API")
	slow := make(chan string)
	go func() { slow <- get(t, client, url+"/slow") }()
	<-entered
	server.stop()
	waitFor(t, func() bool { status, _ := server.probe(t); return status == 503 })
	for range 3 {
		if got := get(t, tlsClient(t, own), url); !strings.HasPrefix(got, "HTTP/2.0") {
			t.Errorf("got %q while draining", got)
		}
	}
	server.hurry() // the drain period is over
	waitFor(t, func() bool {
		_, err := tlsClient(t, own).Get(url) //nolint:bodyclose // it is an error
		return err != nil
	})
	select {
	case err := <-server.ended:
		t.Fatalf("the server went (error %v) before its last request was answered", err)
	default:
	}
	close(release)
	if got := <-slow; !strings.HasPrefix(got, "HTTP/2.0") {
		t.Errorf("got %q for the request that was running", got)
	}
	if err := <-server.ended; err != nil {
		t.Error(err)
	}
}

func TestServerTellsConnectionsToGoWhileItDrains(t *testing.T) {
	server := start(t, Config{API: hello, DrainPeriod: time.Hour})
	before := get(t, http.DefaultClient, "http://"+server.Address("API"))
	server.stop()
	waitFor(t, func() bool { status, _ := server.probe(t); return status == 503 })
	get(t, http.DefaultClient, "http://"+server.Address("API"))
	if after := get(t, http.DefaultClient, "http://"+server.Address("API")); after == before {
		t.Error("the connection is still there")
	}
}

func TestListenSaysWhichPortIsTaken(t *testing.T) {
	first := start(t, Config{API: hello})
	_, err := Listen(t.Context(), Config{
		APIAddress: "127.0.0.1:0", ReadinessAddress: first.Address("API"), API: hello, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err == nil || !strings.Contains(err.Error(), "listen for readiness") {
		t.Errorf("got %v, want an error that names the port", err)
	}
}
