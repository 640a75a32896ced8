package policyserver

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/certificate"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/dns"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/oci"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
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
	// Limits bound host calls of all kinds; the zero value is the usual ones.
	Limits host.Limits
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
		p.objects = objects.New(objects.Config{
			Clients: config.Cluster, Memory: p.config.Memory, Changed: func() { p.source.changed() }, Logger: p.config.Logger, Now: p.config.Now,
		})
		p.metrics.ObserveObjects(p.objects.Usage)
		made[objects.Namespace] = p.objects
	}
	return made
}

// unreadable are the kinds that policies here cannot read, for a report.
func (p *PolicyServer) unreadable() map[string]contract.Unreadable {
	if p.objects == nil {
		return nil
	}
	told := map[string]contract.Unreadable{}
	for resource, problem := range p.objects.Problems() {
		reason := map[objects.Trouble]contract.UnreadableReason{
			objects.TroubleForbidden: contract.UnreadableForbidden,
			objects.TroubleNotServed: contract.UnreadableNotServed,
			objects.TroubleNoRoom:    contract.UnreadableNoRoom,
		}[problem.Trouble]
		told[contract.UnreadableKey(resource.APIVersion, resource.Kind)] = contract.NewUnreadable(reason, problem.Message)
	}
	return told
}

// closeEngine waits for the policies that run, and ends what served them.
func (p *PolicyServer) closeEngine(ctx context.Context) error {
	err := p.engine.Close(context.WithoutCancel(ctx))
	if p.objects != nil {
		p.objects.Close()
	}
	return err
}

// newCapabilityClient reads registries for policies. What modules must be signed with is no
// matter of theirs.
func (p *PolicyServer) newCapabilityClient(sources contract.Sources) *fetch.Client {
	return fetch.New(fetch.Config{
		Dir: p.config.DownloadDir, Sources: sources, Trust: p.capabilityTrust,
		Keychain: p.config.Keychain, Proxies: p.config.Proxies, Logger: p.config.Logger,
	})
}

func (p *PolicyServer) capabilityTrust() (*signature.Trust, error) {
	if trust := p.trust.Load(); trust != nil {
		return trust, nil
	}
	return p.publicTrust.Trust()
}

// trustInCapabilities has images verified by another trust root from now on.
func (p *PolicyServer) trustInCapabilities(trust *signature.Trust) {
	p.trust.Store(trust) // first: what is asked after the answers are forgotten is kept
	p.images.Forget()
}
