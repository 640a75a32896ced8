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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// double stands in for the policy servers: it answers /audit/<policy ID> over TLS, under
// the name of the Service of every policy server, by a function per policy.
type double struct {
	*httptest.Server
	// authority issued its certificate, and client one for scanners.
	authority *authority

	mu       sync.Mutex
	policies map[string]verdict
	// revisions are those from which the verdicts of policies follow; others may vary.
	revisions map[string]string
	// asked are the questions that were put: policy, operation, name of the object.
	asked []string
	// clients are the names in the certificates of those that asked.
	clients map[string]bool
	// protocol is that of the last question.
	protocol string
}

// verdict judges an object.
type verdict func(object *unstructured.Unstructured) (allowed bool, message string)

func newDouble(tb testing.TB) *double {
	tb.Helper()
	d := &double{authority: newAuthority(tb), policies: map[string]verdict{}, revisions: map[string]string{}, clients: map[string]bool{}}
	d.Server = httptest.NewUnstartedServer(d)
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.TLS = &tls.Config{
		Certificates: []tls.Certificate{d.authority.issue(tb, "*.kubewarden.svc")},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    d.authority.pool(),
		MinVersion:   tls.VersionTLS12,
	}
	d.EnableHTTP2 = true
	d.StartTLS()
	tb.Cleanup(d.Close)
	return d
}

func (d *double) judge(policyID string, v verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policies[policyID] = v
}

// serve says from which revision the verdicts of a policy follow; "" says that they may vary.
func (d *double) serve(policyID, revision string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revisions[policyID] = revision
}

// questions are those that were put since the last time, sorted.
func (d *double) questions() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	slices.Sort(asked)
	return asked
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, isAudit := strings.CutPrefix(r.URL.Path, "/audit/")
	d.mu.Lock()
	judge, known := d.policies[id]
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
		raw := review.Request.Object.Raw
		if review.Request.Operation == admissionv1.Delete {
			raw = review.Request.OldObject.Raw
		}
		err = json.Unmarshal(raw, &object.Object)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	d.mu.Lock()
	d.asked = append(d.asked, id+" "+string(review.Request.Operation)+" "+review.Request.Name)
	if revision := d.revisions[id]; revision != "" {
		w.Header().Set(contract.HeaderVerdictRevision, revision)
	}
	d.mu.Unlock()
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
func (d *double) transport(tb testing.TB, config TransportConfig) *http.Transport {
	tb.Helper()
	if config.ExtraCA == nil && !config.Insecure {
		config.ExtraCA = d.authority.pem
	}
	transport, err := NewTransport(config)
	if err != nil {
		tb.Fatal(err)
	}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, d.Listener.Addr().String())
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return transport
}

// authority issues certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &authority{certificate: certificate, key: key, pem: encodePEM("CERTIFICATE", der)}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
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
func (a *authority) issuePEM(tb testing.TB, name string) (certificate, key []byte) {
	tb.Helper()
	pair := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &pair.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		tb.Fatal(err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", encodedKey)
}

func (a *authority) issue(tb testing.TB, name string) tls.Certificate {
	tb.Helper()
	certificate, key := a.issuePEM(tb, name)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		tb.Fatal(err)
	}
	return pair
}
