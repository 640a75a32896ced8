package certificate

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Namespace is the one that guests call.
const Namespace = "crypto"

const operationTrusted = "v1/is_certificate_trusted"

// Config is what a Capability is made from.
type Config struct {
	// Roots gives the authorities that are trusted where a guest names none; nil means those
	// of the system, or of the container's image.
	Roots func() (*x509.CertPool, error)
	// Now is the clock of those who give no time.
	Now func() time.Time
}

// Capability judges certificates. It is safe for concurrent use.
type Capability struct{ config Config }

var _ host.Capability = (*Capability)(nil)

// New makes a capability.
func New(config Config) *Capability {
	if config.Roots == nil {
		config.Roots = x509.SystemCertPool
	}
	return &Capability{config}
}

// verdict is the answer. Reason is empty when the certificate is trusted.
type verdict struct {
	Trusted bool   `json:"trusted"`
	Reason  string `json:"reason"`
}

// Call judges the certificate in the payload. A certificate that cannot be read is an error.
func (c *Capability) Call(ctx context.Context, request host.Request) ([]byte, error) {
	if request.Operation != operationTrusted {
		return nil, host.RefusalError("unknown operation: " + request.Operation)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asked, at, err := decode(request.Payload, c.config.Now())
	if err != nil {
		return nil, host.RefusalError(err.Error())
	}
	leaf, err := asked.Certificate.parse()
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	trust, err := c.trust(asked.Chain)
	if err != nil {
		return nil, err
	}
	reason := trust.judge(leaf, at)
	return json.Marshal(verdict{reason == "", reason})
}

// trust gives the authorities by which a certificate is judged.
func (c *Capability) trust(chain []encoded) (trust, error) {
	if chain == nil {
		roots, err := c.config.Roots()
		if err != nil {
			return trust{}, fmt.Errorf("read the authorities of the system: %w", err)
		}
		return trust{roots: roots}, nil
	}
	made := trust{roots: x509.NewCertPool()}
	for i, next := range chain {
		certificate, err := next.parse()
		if err != nil {
			return trust{}, fmt.Errorf("cert_chain[%d]: %w", i, err)
		}
		if i < len(chain)-1 {
			made.intermediates = append(made.intermediates, certificate)
			continue
		}
		made.anchor = certificate
		made.roots.AddCert(valid(certificate))
	}
	return made, nil
}
