package server

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// callers is a server that asks for certificates, and what it tells of those who call.
type callers struct {
	address               string
	certificates          *Certificates
	serving, clients, own *pair
	told                  *reloads
	mu                    sync.Mutex
	seen                  map[ClientVerdict]int
	log                   bytes.Buffer
	now                   time.Time
	clientCAPath          string
	apiServer, scanner    *pair
}

// Write is the log.
func (c *callers) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(line)
}

func (c *callers) lines() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.log.String(), "has no certificate that counts")
}

func (c *callers) counted() map[ClientVerdict]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func newCallers(t *testing.T, mode string) *callers {
	t.Helper()
	c := &callers{
		serving: issue(t, "serving", nil), clients: issue(t, "clients", nil), own: issue(t, "own", nil),
		told: &reloads{}, seen: map[ClientVerdict]int{}, now: time.Now(),
	}
	c.apiServer, c.scanner = issueFor(t, c.clients, "urn:api-server", nil), issueFor(t, c.own, contract.AuditScannerIdentity, nil)
	dir := t.TempDir()
	c.clientCAPath = writeFile(t, filepath.Join(dir, "clients.crt"), c.clients.certificate)
	var err error
	c.certificates, err = LoadCertificates(CertificatesConfig{
		Files: CertificateFiles{
			Certificate: writeFile(t, filepath.Join(dir, "tls.crt"), c.serving.certificate),
			Key:         writeFile(t, filepath.Join(dir, "tls.key"), c.serving.key),
			ClientCAs:   []string{c.clientCAPath}, ClientCAMode: mode,
			OperatorCAs: []string{writeFile(t, filepath.Join(dir, "ca.crt"), c.own.certificate)},
		},
		Observe: c.told.observe, Changed: c.told.changed, Logger: slog.New(slog.NewTextHandler(c, nil)),
		Now: func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.now
		},
		ObserveClient: func(verdict ClientVerdict) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.seen[verdict]++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler, _, _ := newHandler()
	c.address = start(t, Config{API: handler, Certificates: c.certificates}).Address("API")
	return c
}

// call is one connection and the status of its answer; 0 and the error for none.
func (c *callers) call(t *testing.T, client *pair) (int, error) {
	t.Helper()
	caller := insistent(t, c.serving, client)
	defer caller.CloseIdleConnections()
	response, err := caller.Post("https://"+c.address+"/validate/accept", "application/json", strings.NewReader(review()))
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	return response.StatusCode, nil
}

// alert is what a client without a certificate reads from the connection.
func (c *callers) alert(t *testing.T) error {
	t.Helper()
	config := tlsClient(t, c.serving).Transport.(*http.Transport).TLSClientConfig
	connection, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", c.address)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Read(make([]byte, 1))
	return err
}

func (c *callers) later(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

func TestClientsWithoutACertificateAreRefusedByTheHandshakeAndCounted(t *testing.T) {
	c := newCallers(t, contract.ClientsRequired)
	for range 2 {
		if status, err := c.call(t, nil); err == nil {
			t.Errorf("without a certificate: got %d, want a TLS alert", status)
		}
	}
	if err := c.alert(t); err == nil || err.Error() != "remote error: tls: bad certificate" {
		t.Errorf("got %v, want a TLS alert", err)
	}
	if status, err := c.call(t, issueFor(t, c.own, "urn:somebody", nil)); err == nil {
		t.Errorf("with a certificate for somebody: got %d, want a TLS alert", status)
	}
	for _, client := range []*pair{c.apiServer, c.scanner} {
		if status, err := c.call(t, client); status != http.StatusOK {
			t.Errorf("got %d, %v; want 200", status, err)
		}
	}
	want := map[ClientVerdict]int{ClientWithout: 3, ClientInvalid: 1, ClientAccepted: 1, ClientOwn: 1}
	if diff := cmp.Diff(want, c.counted()); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if lines := c.lines(); lines != 1 {
		t.Errorf("%d lines in one minute, want 1:\n%s", lines, c.log.String())
	}
	c.later(time.Minute)
	if _, err := c.call(t, nil); err == nil {
		t.Error("it was let in")
	}
	if lines := c.lines(); lines != 2 {
		t.Errorf("%d lines after a minute, want 2:\n%s", lines, c.log.String())
	}
}

func TestObservedClientsAreLetInAndToldOf(t *testing.T) {
	c := newCallers(t, contract.ClientsObserved)
	reports := func(want contract.Clients) {
		t.Helper()
		if diff := cmp.Diff(&want, reportOf(c.certificates).Clients); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	}
	call := func(client *pair) {
		t.Helper()
		if status, err := c.call(t, client); status != http.StatusOK {
			t.Errorf("got %d, %v; want 200", status, err)
		}
	}
	reports(contract.Clients{Mode: "observe"})
	call(c.scanner)
	reports(contract.Clients{Mode: "observe"})
	call(nil)
	call(nil)
	reports(contract.Clients{Mode: "observe", Unproven: true})
	call(c.apiServer)
	call(c.apiServer)
	reports(contract.Clients{Mode: "observe", Unproven: true, Proven: true})
	if _, changes := c.told.count(); changes != 2 {
		t.Errorf("%d changes are told, want 2: the first client of each kind", changes)
	}
	c.later(5*time.Minute - time.Second)
	reload(t, c.certificates)
	reports(contract.Clients{Mode: "observe", Unproven: true, Proven: true})
	c.later(time.Second)
	reload(t, c.certificates)
	reports(contract.Clients{Mode: "observe", Proven: true})
	if _, changes := c.told.count(); changes != 3 {
		t.Errorf("%d changes are told, want 3", changes)
	}

	other := issue(t, "other", nil)
	writeFile(t, c.clientCAPath, other.certificate)
	reload(t, c.certificates)
	reports(contract.Clients{Mode: "observe"})
	call(c.apiServer)
	reports(contract.Clients{Mode: "observe", Unproven: true})
}

func reload(t *testing.T, certificates *Certificates) {
	t.Helper()
	if err := certificates.Reload(); err != nil {
		t.Fatal(err)
	}
}

// A session that is resumed is judged like a new one.
func TestResumedSessionsAreJudgedByTheAuthoritiesOfNow(t *testing.T) {
	c := newCallers(t, contract.ClientsRequired)
	caller := insistent(t, c.serving, c.apiServer)
	caller.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if status := postReview(t, caller, c.address); status != http.StatusOK {
		t.Fatalf("got %d, want 200", status)
	}
	caller.CloseIdleConnections()
	writeFile(t, c.clientCAPath, issue(t, "other", nil).certificate)
	reload(t, c.certificates)
	if status := postReview(t, caller, c.address); status != 0 {
		t.Errorf("got %d for a client of authorities that are gone, want a TLS alert", status)
	}
}
