package conformance

import (
	"crypto/x509"
	"log/slog"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/certificate"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/dns"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/dns/dnstest"
	"github.com/kubewarden/kubewarden-operator/policyserver/capability/oci"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// world is what policies can ask about: a name server that knows one host, a registry with
// images and those who vouch for who signed them, a small cluster, and no authorities but those that a policy brings along.
type world struct {
	config  policyserver.Capabilities
	cleanup func(func())
}

func newWorld(t *testing.T) world {
	t.Helper()
	return world{cleanup: t.Cleanup, config: policyserver.Capabilities{
		Resolver: dnstest.New(t).Resolver(),
		Roots:    func() (*x509.CertPool, error) { return x509.NewCertPool(), nil },
		Cluster:  newCluster(),
	}}
}

// sources are how the registry is reached.
func (world) sources() contract.Sources {
	return contract.Sources{InsecureSources: []string{theImages().address}}
}

// capabilities are for an engine without a server.
func (w world) capabilities(store string) map[string]host.Capability {
	registries := oci.New(oci.Config{Now: time.Now})
	registries.Use(fetch.New(fetch.Config{Dir: store, Sources: w.sources(), Trust: func() (*signature.Trust, error) {
		return signature.ParseTrust(theImages().trust)
	}}))
	cluster := objects.New(objects.Config{Clients: w.config.Cluster, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	w.cleanup(cluster.Close)
	return map[string]host.Capability{
		objects.Namespace:     cluster,
		certificate.Namespace: certificate.New(certificate.Config{Roots: w.config.Roots, Now: time.Now}),
		oci.Namespace:         registries,
		dns.Namespace:         dns.New(dns.Config{Resolver: w.config.Resolver, Now: time.Now}),
	}
}
