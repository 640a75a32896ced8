package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Late is when a certificate should have been replaced long since: half way between the moment
// when it is to be renewed and its end. Whoever looks then has as much time again.
func Late(certificate *x509.Certificate, terms render.CertificateTerms) time.Time {
	again := renewal(certificate, terms)
	return again.Add(certificate.NotAfter.Sub(again) / 2)
}

// Expiry tells of the certificates in use.
type Expiry struct {
	// Soon says of each one that is late what it is, where it is and when it expires.
	Soon []string
	// After is when to look again though nothing happened; 0 means never.
	After time.Duration
}

// Expiry looks which certificates of an installation are still in use though they should have
// been replaced long since: those of the authorities that sign, of policy servers, and of their
// clients.
func (c *Certificates) Expiry(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (Expiry, error) {
	terms, expiry, now := render.NewTerms(kubewarden.Spec.Certificates), Expiry{}, c.now()
	published, err := c.published(ctx)
	if err != nil {
		return expiry, err
	}
	expiry.look("the authority, in Secret "+render.SecretCA, published.Current, terms.Authority, now)
	for _, one := range render.Clients() {
		presented, err := c.secret(ctx, one.Presented)
		if err != nil {
			return expiry, err
		}
		what := fmt.Sprintf("the certificate of %s, in Secret %s", one.Name, presented.Name)
		expiry.look(what, firstOf(presented.Data[corev1.TLSCertKey]), terms.Leaf, now)
	}
	var servers policiesv1.PolicyServerList
	if err := c.client.List(ctx, &servers); err != nil {
		return expiry, fmt.Errorf("list PolicyServers: %w", err)
	}
	for i := range servers.Items {
		presented, err := c.secret(ctx, render.ServingSecretName(servers.Items[i].Name))
		if err != nil {
			return expiry, err
		}
		what := fmt.Sprintf("the certificate of PolicyServer %s, in Secret %s", servers.Items[i].Name, presented.Name)
		expiry.look(what, firstOf(presented.Data[corev1.TLSCertKey]), terms.Leaf, now)
	}
	return expiry, nil
}

// look files each certificate of a PEM text.
func (e *Expiry) look(what string, text []byte, terms render.CertificateTerms, now time.Time) {
	certificates, err := parseCertificates(text)
	if err != nil {
		return // that it cannot be read is for others to tell
	}
	for _, certificate := range certificates {
		if rest := Late(certificate, terms).Sub(now); rest > 0 {
			e.After = soonest(e.After, rest)
			continue
		}
		e.Soon = append(e.Soon, fmt.Sprintf("%s, expires at %s", what, certificate.NotAfter.UTC().Format(time.RFC3339)))
	}
}
