package scan

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// TransportConfig says how policy servers are reached.
type TransportConfig struct {
	// ExtraCA are certificates of authorities, in PEM, that are trusted beside those of
	// the system; nil for none.
	ExtraCA []byte
	// ClientCertificate and ClientKey, in PEM, are presented to policy servers that ask
	// for a certificate; both or neither.
	ClientCertificate, ClientKey []byte
	// Insecure trusts any certificate.
	Insecure bool
	// Proxy chooses a proxy for a request; nil uses none.
	Proxy func(*http.Request) (*url.URL, error)
	// Connections is the most that are open to one policy server.
	Connections int
	// Dial makes connections; nil makes plain ones.
	Dial Dial
}

const (
	dialTimeout = 5 * time.Second
	idleTimeout = 30 * time.Second
	// writeBuffer takes most questions whole, in bytes, so that each is one write.
	writeBuffer = 16 << 10
)

// NewTransport makes the connections to policy servers.
//
// HTTP/2 is left out on purpose: it would put all questions on one connection, and so on
// one replica. Many HTTP/1.1 connections, kept alive, spread over the replicas, and cost one
// handshake each.
func NewTransport(config TransportConfig) (*http.Transport, error) {
	tlsConfig, err := config.tls()
	if err != nil {
		return nil, err
	}
	dial := config.Dial
	if dial == nil {
		dial = PlainDial
	}
	return &http.Transport{
		Proxy:               config.Proxy,
		DialContext:         dial,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: dialTimeout,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxConnsPerHost:     config.Connections,
		MaxIdleConnsPerHost: config.Connections,
		IdleConnTimeout:     idleTimeout,
		WriteBufferSize:     writeBuffer,
		DisableCompression:  true,
	}, nil
}

// PlainDial connects to an address as it stands.
func PlainDial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
}

func (c TransportConfig) tls() (*tls.Config, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the certificate authorities of the system: %w", err)
	}
	if c.ExtraCA != nil && !roots.AppendCertsFromPEM(c.ExtraCA) {
		return nil, errors.New("read the extra certificate authorities: there is no certificate in PEM form")
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            roots,
		InsecureSkipVerify: c.Insecure, //nolint:gosec // asked for by flag, for debugging
		// Small records help who reads while it is still being sent; a policy server
		// reads a question to its end first.
		DynamicRecordSizingDisabled: true,
	}
	if c.ClientCertificate == nil && c.ClientKey == nil {
		return config, nil
	}
	pair, err := tls.X509KeyPair(c.ClientCertificate, c.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("read the client certificate and its key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
