package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// pair is a certificate with its key, in PEM.
type pair struct {
	certificate, key []byte
	parsed           *x509.Certificate
	signer           *ecdsa.PrivateKey
}

var serial int64

// issue makes a certificate for 127.0.0.1, signed by an authority, or by itself for nil.
func issue(t *testing.T, name string, by *pair) *pair {
	t.Helper()
	return issueChanged(t, name, by, func(*x509.Certificate) {})
}

func issueChanged(t *testing.T, name string, by *pair, change func(*x509.Certificate)) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        by == nil, BasicConstraintsValid: true,
	}
	change(template)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.parsed, by.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		parsed:      parsed, signer: key,
	}
}

func (p *pair) tls(t *testing.T) tls.Certificate {
	t.Helper()
	certificate, err := tls.X509KeyPair(p.certificate, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// secretVolume is a folder laid out as Kubernetes lays out a Secret's volume: the files
// are links through ..data, which is a link to a folder of one state, and a change turns
// that one link.
type secretVolume struct {
	dir   string
	state int
}

func (v *secretVolume) write(t *testing.T, files map[string][]byte) {
	t.Helper()
	v.state++
	state := filepath.Join(v.dir, ".."+strings.Repeat("x", v.state))
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(state, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(v.dir, name)
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	incoming := filepath.Join(v.dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(state), incoming); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(incoming, filepath.Join(v.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func (v *secretVolume) writePair(t *testing.T, p *pair) {
	t.Helper()
	v.write(t, map[string][]byte{"tls.crt": p.certificate, "tls.key": p.key})
}

// reloads collects what Certificates tell.
type reloads struct {
	mu      sync.Mutex
	errors  []error
	changes int
}

func (r *reloads) observe(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, err)
}

func (r *reloads) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
}

func (r *reloads) count() (attempts, changes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errors), r.changes
}

func load(t *testing.T, dir string, clientCAs ...string) (*Certificates, *reloads) {
	t.Helper()
	told := &reloads{}
	files := CertificateFiles{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientCAs: clientCAs}
	return loadFiles(t, files, told), told
}

func loadFiles(t *testing.T, files CertificateFiles, told *reloads) *Certificates {
	t.Helper()
	certificates, err := LoadCertificates(CertificatesConfig{
		Files: files, Observe: told.observe, Changed: told.changed, ObserveClient: func(ClientVerdict) {},
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return certificates
}

func reportOf(certificates *Certificates) contract.Report {
	var report contract.Report
	certificates.Report(&report)
	return report
}

func TestCertificatesFollowASecretVolume(t *testing.T) {
	first, second := issue(t, "first", nil), issue(t, "second", nil)
	volume := &secretVolume{dir: t.TempDir()}
	volume.writePair(t, first)
	certificates, told := load(t, volume.dir)
	watch := certificates.Watch()
	watch.Poll, watch.Settle = time.Hour, 10*time.Millisecond // only events can wake it
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	for i, next := range []*pair{second, first, second} {
		volume.writePair(t, next)
		want := fingerprint(next.parsed.Raw)
		waitFor(t, func() bool {
			serving := reportOf(certificates).ServingCertificate
			return serving == want
		})
		waitFor(t, func() bool { _, changes := told.count(); return changes == i+1 })
	}
}

func TestCertificatesAreFoundByPolling(t *testing.T) {
	first, second := issue(t, "first", nil), issue(t, "second", nil)
	volume := &secretVolume{dir: t.TempDir()}
	volume.writePair(t, first)
	certificates, _ := load(t, volume.dir)
	watch := certificates.Watch()
	watch.Paths = []string{filepath.Join(volume.dir, "absent", "file")} // no watch can be set
	watch.Poll = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go watch.Run(ctx)
	volume.writePair(t, second)
	waitFor(t, func() bool {
		serving := reportOf(certificates).ServingCertificate
		return serving == fingerprint(second.parsed.Raw)
	})
}

func TestCertificatesStayOnErrors(t *testing.T) {
	first, second := issue(t, "first", nil), issue(t, "second", nil)
	for name, files := range map[string]map[string][]byte{
		"a key of another certificate": {"tls.crt": first.certificate, "tls.key": second.key},
		"half of a change":             {"tls.crt": second.certificate, "tls.key": first.key},
		"no certificate":               {"tls.crt": nil, "tls.key": first.key},
		"text":                         {"tls.crt": []byte("text"), "tls.key": []byte("text")},
		"no file":                      {"tls.crt": first.certificate},
	} {
		t.Run(name, func(t *testing.T) {
			volume := &secretVolume{dir: t.TempDir()}
			volume.writePair(t, first)
			certificates, told := load(t, volume.dir)
			volume.write(t, files)
			if err := certificates.Reload(); err == nil {
				t.Error("got no error")
			}
			if serving := reportOf(certificates).ServingCertificate; serving != fingerprint(first.parsed.Raw) {
				t.Error("the first certificate is not served any more")
			}
			if attempts, changes := told.count(); attempts != 1 || changes != 0 {
				t.Errorf("got %d attempts and %d changes told, want 1 and 0", attempts, changes)
			}
			volume.writePair(t, second)
			if err := certificates.Reload(); err != nil {
				t.Error(err)
			}
			if serving := reportOf(certificates).ServingCertificate; serving != fingerprint(second.parsed.Raw) {
				t.Error("the second certificate is not served")
			}
		})
	}
}

func TestCertificatesReloadWithoutAChange(t *testing.T) {
	volume := &secretVolume{dir: t.TempDir()}
	first := issue(t, "first", nil)
	volume.writePair(t, first)
	certificates, told := load(t, volume.dir)
	volume.writePair(t, first)
	if err := certificates.Reload(); err != nil {
		t.Fatal(err)
	}
	if attempts, changes := told.count(); attempts != 0 || changes != 0 {
		t.Errorf("got %d attempts and %d changes told, want none", attempts, changes)
	}
}

func TestCertificatesWithIntermediates(t *testing.T) {
	root := issue(t, "root", nil)
	leaf := issue(t, "leaf", root)
	volume := &secretVolume{dir: t.TempDir()}
	volume.write(t, map[string][]byte{"tls.crt": bytes.Join([][]byte{leaf.certificate, root.certificate}, nil), "tls.key": leaf.key})
	certificates, _ := load(t, volume.dir)
	if serving := reportOf(certificates).ServingCertificate; serving != fingerprint(leaf.parsed.Raw) {
		t.Error("the fingerprint is not the leaf's")
	}
}

func TestCertificatesClientAuthorities(t *testing.T) {
	one, two := issue(t, "one", nil), issue(t, "two", nil)
	dir := t.TempDir()
	volume := &secretVolume{dir: dir}
	volume.writePair(t, one)
	first, second := filepath.Join(t.TempDir(), "one.pem"), filepath.Join(t.TempDir(), "two.pem")
	for path, content := range map[string][]byte{first: one.certificate, second: two.certificate} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forwards, told := load(t, dir, first, second)
	backwards, _ := load(t, dir, second, first)
	a := reportOf(forwards).ClientCA
	b := reportOf(backwards).ClientCA
	if a == "" || a != b {
		t.Errorf("got fingerprints %q and %q, want equal ones", a, b)
	}
	if err := os.WriteFile(second, one.certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := forwards.Reload(); err != nil {
		t.Fatal(err)
	}
	if c := reportOf(forwards).ClientCA; c == a {
		t.Error("a changed authority was not taken up")
	}
	if _, changes := told.count(); changes != 1 {
		t.Errorf("got %d changes told, want 1", changes)
	}
	if err := os.WriteFile(first, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := forwards.Reload(); err == nil || !strings.Contains(err.Error(), "no client authority") {
		t.Errorf("got %v, want an error: without authorities everybody would be let in", err)
	}
}
