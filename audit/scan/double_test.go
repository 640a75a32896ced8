package scan

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// double stands in for the policy servers: it answers /audit/<policy ID> over TLS, under
// the name of the Service of every policy server, by a function per policy.
type double struct {
	*httptest.Server
	// authority issued its certificate, and client one for scanners.
	authority *authority

	mu       sync.Mutex
	policies map[string]verdict
	asked    map[string]int
	// clients are the names in the certificates of those that asked.
	clients map[string]bool
	// protocol is that of the last question.
	protocol string
}

// verdict judges an object; an error is a policy server that could not evaluate.
type verdict func(object *unstructured.Unstructured) (allowed bool, message string)

func newDouble(t testing.TB) *double {
	t.Helper()
	d := &double{authority: newAuthority(t), policies: map[string]verdict{}, asked: map[string]int{}, clients: map[string]bool{}}
	d.Server = httptest.NewUnstartedServer(d)
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.TLS = &tls.Config{
		Certificates: []tls.Certificate{d.authority.issue(t, "*.kubewarden.svc")},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    d.authority.pool(),
		MinVersion:   tls.VersionTLS12,
	}
	d.EnableHTTP2 = true
	d.StartTLS()
	t.Cleanup(d.Close)
	return d
}

func (d *double) judge(policyID string, v verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policies[policyID] = v
}

// askedAbout counts the questions to a policy, and forgets them.
func (d *double) askedAbout(policyID string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.asked[policyID]
	delete(d.asked, policyID)
	return n
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, isAudit := strings.CutPrefix(r.URL.Path, "/audit/")
	d.mu.Lock()
	judge, known := d.policies[id]
	d.asked[id]++
	d.protocol = r.Proto
	for _, certificate := range r.TLS.PeerCertificates {
		d.clients[certificate.Subject.CommonName] = true
	}
	d.mu.Unlock()
	if !isAudit || !known || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, `{"message":"unknown policy","status":404}`, http.StatusNotFound)
		return
	}
	review := admissionv1.AdmissionReview{}
	object := &unstructured.Unstructured{}
	err := json.NewDecoder(r.Body).Decode(&review)
	if err == nil {
		err = json.Unmarshal(review.Request.Object.Raw, &object.Object)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	allowed, message := judge(object)
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: allowed}
	if message != "" {
		review.Response.Result = &metav1.Status{Message: message}
	}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// transport reaches the double under whatever name it is called.
func (d *double) transport(t testing.TB, config TransportConfig) *http.Transport {
	t.Helper()
	if config.ExtraCA == nil && !config.Insecure {
		config.ExtraCA = d.authority.pem
	}
	transport, err := NewTransport(config)
	if err != nil {
		t.Fatal(err)
	}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, d.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// authority issues certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate: certificate, key: key, pem: encodePEM("CERTIFICATE", der)}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issuePEM makes a certificate for a name, and its key.
func (a *authority) issuePEM(t testing.TB, name string) (certificate, key []byte) {
	t.Helper()
	pair := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &pair.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", encodedKey)
}

func (a *authority) issue(t testing.TB, name string) tls.Certificate {
	t.Helper()
	certificate, key := a.issuePEM(t, name)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
