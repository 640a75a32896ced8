package metrics

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

var (
	expiry = prometheus.NewDesc("kubewarden_certificate_expiry_timestamp_seconds",
		"When a certificate that is in use expires, in Unix time, by the Secret that holds it: the authority, and what policy servers, "+
			"the operator's own webhooks and the operator itself present.", []string{"secret"}, nil)

	late = prometheus.NewDesc("kubewarden_certificate_late_timestamp_seconds",
		"When a certificate that is in use should have been renewed long since, in Unix time, by the Secret that holds it: half way "+
			"between its renewal and its end.", []string{"secret"}, nil)

	certificatesPart = part{
		name:         "certificates",
		descriptions: []*prometheus.Desc{expiry, late},
		collect:      collectCertificates,
	}
)

// collectCertificates leaves out what does not exist: the operator does not keep the
// certificate of its own webhooks where somebody mounts one.
func collectCertificates(ctx context.Context, config Config, metrics chan<- prometheus.Metric) error {
	var servers policiesv1.PolicyServerList
	if err := config.Reader.List(ctx, &servers, shared); err != nil {
		return fmt.Errorf("list PolicyServers: %w", err)
	}
	terms, err := termsOf(ctx, config)
	if err != nil {
		return err
	}
	keys := map[string]string{render.SecretCA: render.KeyCA, render.OwnWebhookPair: corev1.TLSCertKey}
	for _, one := range render.Clients() {
		keys[one.Presented] = corev1.TLSCertKey
	}
	for i := range servers.Items {
		keys[render.ServingSecretName(servers.Items[i].Name)] = corev1.TLSCertKey
	}
	var failures error
	for name, key := range keys {
		certificate, err := readCertificate(ctx, config, name, key)
		if err != nil {
			failures = errors.Join(failures, err)
		}
		if certificate != nil {
			metrics <- gauge(expiry, float64(certificate.NotAfter.Unix()), name)
			metrics <- gauge(late, float64(certs.Late(certificate, terms[name == render.SecretCA]).Unix()), name)
		}
	}
	return failures
}

// termsOf are those of the installation, for an authority (true) and for what it signs (false).
func termsOf(ctx context.Context, config Config) (map[bool]render.CertificateTerms, error) {
	terms := render.DefaultTerms()
	var found operatorv1alpha1.KubewardenList
	if err := config.Reader.List(ctx, &found, shared); err != nil {
		return nil, fmt.Errorf("list Kubewardens: %w", err)
	}
	for i := range found.Items {
		terms = render.NewTerms(found.Items[i].Spec.Certificates)
	}
	return map[bool]render.CertificateTerms{true: terms.Authority, false: terms.Leaf}, nil
}

// readCertificate returns the first certificate of a Secret; nil when there is none.
func readCertificate(ctx context.Context, config Config, name, key string) (*x509.Certificate, error) {
	secret := &corev1.Secret{}
	err := config.Reader.Get(ctx, client.ObjectKey{Namespace: config.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	block, _ := pem.Decode(secret.Data[key])
	if block == nil {
		return nil, nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s of Secret %s: %w", key, name, err)
	}
	return certificate, nil
}
