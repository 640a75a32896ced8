package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// ClientVerdict is what became of a client that was asked for a certificate.
type ClientVerdict string

// The verdicts.
const (
	// ClientAccepted has a certificate of the client authorities.
	ClientAccepted ClientVerdict = "accepted"
	// ClientOwn is the operator or the audit scanner.
	ClientOwn ClientVerdict = "own"
	// ClientWithout has no certificate, and ClientInvalid one that does not count.
	ClientWithout ClientVerdict = "without"
	ClientInvalid ClientVerdict = "invalid"
)

const (
	// clientLogEvery is the least time between two lines about clients without a certificate
	// that counts: a caller tries again and again.
	clientLogEvery = time.Minute
	// clientMemory is how long such a client is told of after it was last seen. API servers
	// open another connection at least every minute and a half (aging.go).
	clientMemory = 5 * time.Minute
)

// clientsSeen is what there is to tell of those who called.
type clientsSeen struct {
	observe func(ClientVerdict)
	now     func() time.Time
	log     *slog.Logger

	mu       sync.Mutex
	proven   bool
	unproven time.Time // when one was last seen; zero for not lately
	logged   time.Time
}

// seen notes a client, and says whether there is something new to report.
func (s *clientsSeen) seen(verdict ClientVerdict, refused bool, address net.Addr, cause error) bool {
	s.observe(verdict)
	if verdict == ClientOwn {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if verdict == ClientAccepted {
		news := !s.proven
		s.proven = true
		return news
	}
	now := s.now()
	news := s.unproven.IsZero()
	s.unproven = now
	if s.logged.IsZero() || now.Sub(s.logged) >= clientLogEvery {
		s.logged = now
		s.log.Warn("a client has no certificate that counts", "client", address.String(), "refused", refused, "error", cause)
	}
	return news
}

// forget drops what is too old to be told, and says whether that is news.
func (s *clientsSeen) forget() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unproven.IsZero() || s.now().Sub(s.unproven) < clientMemory {
		return false
	}
	s.unproven = time.Time{}
	return true
}

// restart drops everything: other authorities prove other clients.
func (s *clientsSeen) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proven, s.unproven = false, time.Time{}
}

func (s *clientsSeen) report(mode string) *contract.Clients {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &contract.Clients{Mode: mode, Proven: s.proven, Unproven: !s.unproven.IsZero()}
}

// configFor is the TLS configuration for one connection, which a client may have to prove
// itself for. That is judged here and not by crypto/tls, which tells nobody of those who bring
// no certificate.
func (c *Certificates) configFor(hello *tls.ClientHelloInfo) *tls.Config {
	loaded := c.current.Load()
	if loaded.clients == nil {
		return loaded.config
	}
	config := loaded.config.Clone()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		verdict, cause := loaded.judge(state)
		refused := cause != nil && c.files.clientCAMode() == contract.ClientsRequired
		if c.clients.seen(verdict, refused, hello.Conn.RemoteAddr(), cause) {
			c.changed()
		}
		if refused {
			return cause
		}
		return nil
	}
	return config
}

// judge says who a client is, and why it is nobody.
func (l *loadedCertificates) judge(state tls.ConnectionState) (ClientVerdict, error) {
	if len(state.PeerCertificates) == 0 {
		return ClientWithout, errNoClientCertificate
	}
	err := verifyClient(state, l.clients)
	if err == nil {
		return ClientAccepted, nil
	}
	if l.isOneOf(state, contract.OperatorIdentity, contract.AuditScannerIdentity) == nil {
		return ClientOwn, nil
	}
	return ClientInvalid, err
}

// isOneOf is nil for a client that has a certificate for one of the identities, of an authority
// of the installation.
func (l *loadedCertificates) isOneOf(state tls.ConnectionState, identities ...string) error {
	if len(state.PeerCertificates) == 0 {
		return errNoClientCertificate
	}
	if l.operators == nil {
		return errors.New("the authority of the operator is not known yet")
	}
	if err := verifyClient(state, l.operators); err != nil {
		return err
	}
	names := state.PeerCertificates[0].URIs
	if !slices.ContainsFunc(names, func(name *url.URL) bool { return slices.Contains(identities, name.String()) }) {
		return fmt.Errorf("the client certificate is not for %s", identities[0])
	}
	return nil
}
