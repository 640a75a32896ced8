package policyserver

import (
	"crypto/x509"
	"net"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/certificate"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/dns"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/oci"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Capabilities say how the host capabilities work that policies may be granted.
type Capabilities struct {
	// DNSTTL is how long the addresses of a host are kept; 0 asks each time.
	DNSTTL time.Duration
	// Resolver looks up hosts for policies; nil means the system's.
	Resolver *net.Resolver
	// Roots are the authorities of certificates where a policy names none; nil means the
	// system's.
	Roots func() (*x509.CertPool, error)
	// OCITTL is how long what registries told of images is kept; 0 asks each time.
	OCITTL time.Duration
}

// capabilities are those that this server has, by the namespace that guests call.
func (p *PolicyServer) capabilities() map[string]host.Capability {
	config := p.config.Capabilities
	return map[string]host.Capability{
		certificate.Namespace: certificate.New(certificate.Config{Roots: config.Roots, Now: p.config.Now}),
		dns.Namespace:         dns.New(dns.Config{TTL: config.DNSTTL, Resolver: config.Resolver, Now: p.config.Now}),
		oci.Namespace:         p.images,
	}
}
