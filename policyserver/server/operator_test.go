package server

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// issueFor makes a client certificate for a URI, signed by an authority.
func issueFor(t *testing.T, by *pair, uri string, change func(*x509.Certificate)) *pair {
	t.Helper()
	name, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return issueChanged(t, "", by, func(template *x509.Certificate) {
		template.URIs, template.ExtKeyUsage = []*url.URL{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if change != nil {
			change(template)
		}
	})
}

// insistent presents a certificate whatever the server asks for.
func insistent(t *testing.T, trusted, own *pair) *http.Client {
	t.Helper()
	client := tlsClient(t, trusted)
	if own != nil {
		certificate := own.tls(t)
		client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificate, nil
		}
	}
	return client
}

func startWithSettings(t *testing.T, files CertificateFiles) (*running, *Certificates) {
	t.Helper()
	certificates := loadFiles(t, files, &reloads{})
	handler, _, _ := newHandler()
	handler.config.Settings = &Settings{Checker: &fakeChecker{}, IsOperator: certificates.IsOperator}
	return start(t, Config{API: handler, Certificates: certificates}), certificates
}

func writeFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyTheOperatorMayHaveSettingsChecked(t *testing.T) {
	authority, former, stranger := issue(t, "authority", nil), issue(t, "former", nil), issue(t, "stranger", nil)
	serving, clients := issue(t, "serving", nil), issue(t, "clients", nil)
	operator := issueFor(t, authority, contract.OperatorIdentity, nil)
	apiServer := issueFor(t, clients, "urn:api-server", nil)
	type answer struct{ settings, verdict int } // 0 is no connection
	for name, tc := range map[string]struct {
		client       *pair
		open, mutual answer
	}{
		"the operator":                           {operator, answer{200, 200}, answer{200, 200}},
		"the operator, by a former one":          {issueFor(t, former, contract.OperatorIdentity, nil), answer{200, 200}, answer{200, 200}},
		"nobody":                                 {nil, answer{403, 200}, answer{0, 0}},
		"an API server with its certificate":     {apiServer, answer{403, 200}, answer{403, 200}},
		"another authority":                      {issueFor(t, stranger, contract.OperatorIdentity, nil), answer{403, 200}, answer{0, 0}},
		"the operator by the clients' authority": {issueFor(t, clients, contract.OperatorIdentity, nil), answer{403, 200}, answer{403, 200}},
		"the audit scanner":                      {issueFor(t, authority, contract.AuditScannerIdentity, nil), answer{403, 200}, answer{403, 200}},
		"another name":                           {issueFor(t, authority, contract.OperatorIdentity+"s", nil), answer{403, 200}, answer{0, 0}},
		"a serving certificate": {issueFor(t, authority, contract.OperatorIdentity, func(template *x509.Certificate) {
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), answer{403, 200}, answer{0, 0}},
		"expired": {issueFor(t, authority, contract.OperatorIdentity, func(template *x509.Certificate) {
			template.NotAfter = time.Now().Add(-time.Minute)
		}), answer{403, 200}, answer{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := CertificateFiles{
				Certificate: writeFile(t, filepath.Join(dir, "tls.crt"), serving.certificate),
				Key:         writeFile(t, filepath.Join(dir, "tls.key"), serving.key),
				OperatorCAs: []string{
					writeFile(t, filepath.Join(dir, "ca.crt"), authority.certificate),
					writeFile(t, filepath.Join(dir, "old-ca.crt"), former.certificate),
				},
			}
			for mode, want := range map[string]answer{"open": tc.open, "mutual": tc.mutual} {
				if mode == "mutual" {
					files.ClientCAs = []string{writeFile(t, filepath.Join(dir, "clients.crt"), clients.certificate)}
				} else {
					files.ClientCAs = nil
				}
				server, _ := startWithSettings(t, files)
				client := insistent(t, serving, tc.client)
				settings, text := postSettings(t, client, server.Address("API"))
				if verdict := postReview(t, client, server.Address("API")); settings != want.settings || verdict != want.verdict {
					t.Errorf("%s: got %d %s, and %d for a verdict; want %d and %d", mode, settings, text, verdict, want.settings, want.verdict)
				}
			}
		})
	}
}

func postReview(t *testing.T, client *http.Client, address string) int {
	t.Helper()
	response, err := client.Post("https://"+address+"/validate/accept", "application/json", strings.NewReader(review()))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// A client that looks at which authorities a server asks for presents the right certificate,
// and one that has another keeps it to itself.
func TestPortAsksForTheOperatorsCertificate(t *testing.T) {
	authority, serving, other := issue(t, "authority", nil), issue(t, "serving", nil), issue(t, "other", nil)
	dir := t.TempDir()
	server, _ := startWithSettings(t, CertificateFiles{
		Certificate: writeFile(t, filepath.Join(dir, "tls.crt"), serving.certificate), Key: writeFile(t, filepath.Join(dir, "tls.key"), serving.key),
		OperatorCAs: []string{writeFile(t, filepath.Join(dir, "ca.crt"), authority.certificate)},
	})
	operator := issueFor(t, authority, contract.OperatorIdentity, nil)
	client := tlsClient(t, serving, issueFor(t, other, "urn:other", nil).tls(t), operator.tls(t))
	if status, text := postSettings(t, client, server.Address("API")); status != 200 {
		t.Errorf("got %d %s, want 200", status, text)
	}
}

// The authority may come after the server, and goes for connections that are open, too.
func TestOperatorsAuthorityMayComeAndGo(t *testing.T) {
	authority, serving := issue(t, "authority", nil), issue(t, "serving", nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "ca.crt")
	server, certificates := startWithSettings(t, CertificateFiles{
		Certificate: writeFile(t, filepath.Join(dir, "tls.crt"), serving.certificate), Key: writeFile(t, filepath.Join(dir, "tls.key"), serving.key),
		OperatorCAs: []string{path},
	})
	operator := issueFor(t, authority, contract.OperatorIdentity, nil)
	early := insistent(t, serving, operator)
	if status, text := postSettings(t, early, server.Address("API")); status != 403 {
		t.Errorf("got %d %s before there is an authority, want 403", status, text)
	}
	writeFile(t, path, authority.certificate)
	if err := certificates.Reload(); err != nil {
		t.Fatal(err)
	}
	client := insistent(t, serving, operator)
	if status, text := postSettings(t, client, server.Address("API")); status != 200 {
		t.Errorf("got %d %s, want 200", status, text)
	}
	for _, content := range []string{"no certificate", ""} {
		writeFile(t, path, []byte(content))
		if err := certificates.Reload(); err != nil {
			t.Errorf("got %v; an authority that cannot be read must not keep other changes back", err)
		}
		if status, text := postSettings(t, client, server.Address("API")); status != 403 {
			t.Errorf("got %d %s once the authority is gone, want 403", status, text)
		}
	}
	if status := postReview(t, client, server.Address("API")); status != 200 {
		t.Errorf("got %d for a verdict, want 200", status)
	}
}
