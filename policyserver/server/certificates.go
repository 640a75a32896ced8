package server

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// CertificateFiles are the PEM files that TLS is made from.
type CertificateFiles struct {
	// Certificate holds the serving certificate, with intermediates if there are any.
	Certificate string
	Key         string
	// ClientCAs hold the authorities of client certificates; with any, every client of
	// the API port but the operator and the audit scanner must have a certificate of one of
	// them.
	ClientCAs []string
	// ClientCAMode is contract.ClientsRequired or contract.ClientsObserved; empty is the former.
	ClientCAMode string
	// OperatorCAs hold the authorities of the client certificates of the operator and of the
	// audit scanner. Files among them may be absent: then there is one authority less, or
	// nobody is the operator.
	OperatorCAs []string
}

func (f CertificateFiles) clientCAMode() string {
	return cmp.Or(f.ClientCAMode, contract.ClientsRequired)
}

// paths are all files.
func (f CertificateFiles) paths() []string {
	return slices.Concat([]string{f.Certificate, f.Key}, f.ClientCAs, f.OperatorCAs)
}

// Certificates are what a server presents and asks for. They change while it serves: a
// connection gets what is there when it begins.
type Certificates struct {
	files   CertificateFiles
	log     *slog.Logger
	current atomic.Pointer[loadedCertificates]
	// observe is told of every attempt to load.
	observe func(error)
	changed func()
	clients *clientsSeen
}

// loadedCertificates are one consistent state of the files.
type loadedCertificates struct {
	content  []byte
	config   *tls.Config
	serving  string
	clientCA string
	ownCA    string
	// clients are the authorities of clients, and operators those of the operator and of the
	// audit scanner; nil for none.
	clients, operators *x509.CertPool
}

// CertificatesConfig is what Certificates are made from. Every field is needed.
type CertificatesConfig struct {
	Files CertificateFiles
	// Observe is told of every attempt to load changed files.
	Observe func(error)
	// Changed is called when there is something new to report: after other certificates have
	// taken effect, and of clients.
	Changed func()
	// ObserveClient is told of every client that was asked for a certificate.
	ObserveClient func(ClientVerdict)
	Logger        *slog.Logger
	Now           func() time.Time
}

// LoadCertificates reads the files for the first time.
func LoadCertificates(config CertificatesConfig) (*Certificates, error) {
	certificates := &Certificates{
		files: config.Files, log: config.Logger, observe: config.Observe, changed: config.Changed,
		clients: &clientsSeen{observe: config.ObserveClient, now: config.Now, log: config.Logger},
	}
	loaded, err := certificates.load()
	if err != nil {
		return nil, err
	}
	certificates.current.Store(loaded)
	return certificates, nil
}

// Watch gives what has to be run so that changes of the files take effect.
func (c *Certificates) Watch() Watch {
	return Watch{Paths: c.files.paths(), Changed: c.Reload, Logger: c.log}
}

// Reload reads the files and takes them up if they changed. On an error what was there
// stays in effect.
func (c *Certificates) Reload() error {
	if c.clients.forget() {
		c.changed()
	}
	before := c.current.Load()
	loaded, err := c.load()
	if err == nil && bytes.Equal(before.content, loaded.content) {
		return nil
	}
	c.observe(err)
	if err != nil {
		return err
	}
	if before.clientCA != loaded.clientCA {
		c.clients.restart()
	}
	c.current.Store(loaded)
	c.log.Info("certificates loaded", "serving_sha256", loaded.serving, "client_ca_sha256", loaded.clientCA)
	c.changed()
	return nil
}

// Report completes a report by what the port presents and asks for.
func (c *Certificates) Report(into *contract.Report) {
	current := c.current.Load()
	into.ServingCertificate, into.ClientCA, into.OwnClientCA = current.serving, current.clientCA, current.ownCA
	if current.clients != nil {
		into.Clients = c.clients.report(c.files.clientCAMode())
	}
}

// config is the TLS configuration of the API port.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return c.configFor(hello), nil
		},
		// net/http wants to see where a certificate comes from.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().config.Certificates[0], nil
		},
	}
}

// load reads one state of the files. Certificate and key that do not belong together are
// an error, which is what half of a change looks like.
func (c *Certificates) load() (*loadedCertificates, error) {
	certificatePEM, err := os.ReadFile(c.files.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read serving certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read key of the serving certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load serving certificate %s with key %s: %w", c.files.Certificate, c.files.Key, err)
	}
	loaded := &loadedCertificates{
		content: slices.Concat(certificatePEM, keyPEM),
		serving: fingerprint(pair.Certificate[0]),
		config: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"h2", "http/1.1"},
			Certificates: []tls.Certificate{pair},
		},
	}
	if len(c.files.ClientCAs) > 0 {
		if err := c.loadClientCAs(loaded); err != nil {
			return nil, err
		}
	}
	c.loadOperatorCAs(loaded)
	return loaded, nil
}

// authoritiesOf are the certificates of a PEM text, as far as they can be read.
func authoritiesOf(content []byte) []*x509.Certificate {
	var authorities []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if authority, err := x509.ParseCertificate(block.Bytes); err == nil {
			authorities = append(authorities, authority)
		}
	}
	return authorities
}

func (c *Certificates) loadClientCAs(into *loadedCertificates) error {
	var authorities []*x509.Certificate
	var texts [][]byte
	for _, path := range c.files.ClientCAs {
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read client authorities: %w", err)
		}
		into.content, texts = append(into.content, content...), append(texts, content)
		authorities = append(authorities, authoritiesOf(content)...)
	}
	if len(authorities) == 0 {
		return errors.New("no client authority in " + fmt.Sprint(c.files.ClientCAs))
	}
	into.clients = x509.NewCertPool()
	for _, authority := range authorities {
		into.clients.AddCert(authority)
	}
	into.config.ClientCAs, into.config.ClientAuth = into.clients, tls.RequestClientCert
	into.clientCA = contract.AuthoritiesFingerprint(texts...)
	return nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
