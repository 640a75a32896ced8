package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// try is one way to talk to a host.
type try struct {
	transport http.RoundTripper
	// lenient tries do without verified TLS, and if need be without TLS.
	lenient bool
}

// attempt does something over verified HTTPS and, when that finds no server to talk to
// and the host is an insecure source, once more without verification, which includes
// plain HTTP. A server that answered, whatever it said, is not asked again.
func attempt[T any](ctx context.Context, client *Client, host string, do func(context.Context, try) (T, error)) (T, error) {
	found, err := do(ctx, try{transport: strict{client.transports}})
	if err == nil || answered(err) || ctx.Err() != nil || !client.transports.insecure(host) {
		return found, err
	}
	client.config.Logger.DebugContext(ctx, "verified TLS failed; going on without for an insecure source", "host", host, "error", err)
	return do(ctx, try{transport: lenient{client.transports}, lenient: true})
}

// answeredError is an error that a server answered with.
type answeredError struct{ err *Error }

func (e *answeredError) Error() string { return e.err.Error() }

func (e *answeredError) Unwrap() error { return e.err }

func answered(err error) bool {
	var registry *transport.Error
	var server *answeredError
	var refused *Error
	return errors.As(err, &registry) || errors.As(err, &server) || (errors.As(err, &refused) && !refused.reason.Transient())
}

// transports makes and keeps the HTTP transports of hosts.
type transports struct {
	sources    contract.Sources
	pick       proxyPicker
	pickFailed error
	// dial opens a connection to a host or a proxy.
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu         sync.Mutex
	verified   map[string]*http.Transport
	unverified map[string]*http.Transport
}

func newTransports(sources contract.Sources, further contract.Proxies) *transports {
	made := &transports{sources: sources, dial: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, verified: map[string]*http.Transport{}, unverified: map[string]*http.Transport{}}
	made.pick, made.pickFailed = pickProxies(sources.Proxies, further)
	return made
}

// insecure says whether a host, with its port where the URL has one, is to be reached
// without verified TLS.
func (t *transports) insecure(host string) bool {
	return slices.Contains(t.sources.InsecureSources, host)
}

// strict reaches every host over verified HTTPS. Plain HTTP is refused here and not where
// URLs are read: registries on private and loopback addresses are tried over HTTP by the
// registry library itself, and a redirect may lead there too.
type strict struct{ *transports }

func (s strict) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s is reached by HTTPS only: it is no insecure source", request.URL.Host)
	}
	transport, err := s.verifiedTransport(request.URL.Host)
	if err != nil {
		return nil, err
	}
	return s.roundTrip(transport, request)
}

// lenient reaches insecure sources without verification or over HTTP, and others, to
// which a redirect may lead, as strict does.
type lenient struct{ *transports }

func (l lenient) RoundTrip(request *http.Request) (*http.Response, error) {
	if !l.insecure(request.URL.Host) {
		return strict(l).RoundTrip(request)
	}
	return l.roundTrip(l.unverifiedTransport(request.URL.Host), request)
}

func (t *transports) verifiedTransport(host string) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if transport := t.verified[host]; transport != nil {
		return transport, nil
	}
	roots, err := t.roots(host)
	if err != nil {
		return nil, err
	}
	transport := t.newTransport(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
	t.verified[host] = transport
	return transport, nil
}

func (t *transports) unverifiedTransport(host string) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	transport := t.unverified[host]
	if transport == nil {
		transport = t.newTransport(&tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, //nolint:gosec // the user named this host an insecure source
		})
		t.unverified[host] = transport
	}
	return transport
}

func (t *transports) newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  func(request *http.Request) (*url.URL, error) { return t.proxy(request.URL) },
		OnProxyConnectResponse: checkTunnel,
		DialContext:            t.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

// roots are the authorities that a host is verified with: the system's and its own. nil
// means the system's.
func (t *transports) roots(host string) (*x509.CertPool, error) {
	authorities := t.sources.SourceAuthorities[host]
	if len(authorities) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read system authorities: %w", err)
	}
	for i, authority := range authorities {
		certificates, err := certificatesOf(authority)
		if err != nil {
			return nil, fmt.Errorf("read authority %d of source %s: %w", i, host, err)
		}
		for _, certificate := range certificates {
			pool.AddCert(certificate)
		}
	}
	return pool, nil
}

// CheckSources is an error when an authority of sources.yml or a proxy cannot be read.
func (c *Client) CheckSources() error {
	if err := c.transports.pickFailed; err != nil {
		return err
	}
	for host := range c.config.Sources.SourceAuthorities {
		if _, err := c.transports.roots(host); err != nil {
			return err
		}
	}
	return nil
}

func certificatesOf(authority contract.Authority) ([]*x509.Certificate, error) {
	data := []byte(authority.Data)
	if authority.Type == contract.AuthorityPath {
		var err error
		if data, err = os.ReadFile(authority.Path); err != nil {
			return nil, err
		}
	}
	if block, _ := pem.Decode(data); block == nil && authority.Type == contract.AuthorityPath {
		return x509.ParseCertificates(data)
	}
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, errors.New("no certificate in PEM form")
	}
	return certificates, nil
}
