package policyserver

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/certificate"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/dns"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/oci"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
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
	// Cluster is how objects are read for policies; nil provides them to none.
	Cluster *objects.Clients
}

// capabilities are those that this server has, by the namespace that guests call.
func (p *PolicyServer) capabilities() map[string]host.Capability {
	config := p.config.Capabilities
	made := map[string]host.Capability{
		certificate.Namespace: certificate.New(certificate.Config{Roots: config.Roots, Now: p.config.Now}),
		dns.Namespace:         dns.New(dns.Config{TTL: config.DNSTTL, Resolver: config.Resolver, Now: p.config.Now}),
		oci.Namespace:         p.images,
	}
	if config.Cluster != nil {
		p.objects = objects.New(objects.Config{Clients: config.Cluster, Logger: p.config.Logger, Now: p.config.Now})
		p.metrics.ObserveObjects(p.objects.Usage)
		made[objects.Namespace] = p.objects
	}
	return made
}

// closeEngine waits for the policies that run, and ends what served them.
func (p *PolicyServer) closeEngine(ctx context.Context) error {
	err := p.engine.Close(context.WithoutCancel(ctx))
	if p.objects != nil {
		p.objects.Close()
	}
	return err
}
