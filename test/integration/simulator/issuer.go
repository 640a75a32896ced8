//go:build integration

package simulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// StartIssuer signs Certificates as cert-manager does: it writes the Secret, with the
// labels of the template, and the condition Ready.
func (c *Cluster) StartIssuer() error {
	c.issuer = c.run(func(ctx context.Context) error {
		err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			return false, c.issue(ctx)
		})
		return unlessStopped(ctx, err)
	})
	return nil
}

// unlessStopped drops the error of what was told to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to
	}
	return err
}

func (c *Cluster) issue(ctx context.Context) error {
	var certificates certmanagerv1.CertificateList
	if err := c.Admin.List(ctx, &certificates, client.InNamespace(Namespace)); err != nil {
		return unlessAbsent(unlessStopped(ctx, err))
	}
	for i := range certificates.Items {
		certificate := &certificates.Items[i]
		if issued, err := c.issued(ctx, certificate); err != nil || issued {
			if err != nil {
				return unlessStopped(ctx, err)
			}
			continue
		}
		pair, err := c.sign(ctx, certificate)
		if apierrors.IsNotFound(err) {
			continue // the authority comes first
		}
		if err != nil {
			return err
		}
		if err := c.deliver(ctx, certificate, pair); err != nil {
			return unlessStopped(ctx, err)
		}
	}
	return nil
}

// issued says whether a Certificate has the Secret that it names now. cert-manager keeps the one
// that it named before.
func (c *Cluster) issued(ctx context.Context, certificate *certmanagerv1.Certificate) (bool, error) {
	if len(certificate.Status.Conditions) == 0 {
		return false, nil
	}
	err := c.Admin.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: certificate.Spec.SecretName}, &corev1.Secret{})
	return err == nil, client.IgnoreNotFound(err)
}

// unlessAbsent drops the error of a kind that is not installed.
func unlessAbsent(err error) error {
	if apimeta.IsNoMatchError(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

func (c *Cluster) deliver(ctx context.Context, certificate *certmanagerv1.Certificate, pair map[string][]byte) error {
	secret := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: pair}
	secret.Namespace, secret.Name = certificate.Namespace, certificate.Spec.SecretName
	secret.Labels = certificate.Spec.SecretTemplate.Labels
	if err := c.Admin.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	certificate.Status.Conditions = []certmanagerv1.CertificateCondition{{
		Type: certmanagerv1.CertificateConditionReady, Status: cmmetav1.ConditionTrue, Reason: "Ready",
	}}
	return client.IgnoreNotFound(c.Admin.Status().Update(ctx, certificate))
}

func (c *Cluster) sign(ctx context.Context, certificate *certmanagerv1.Certificate) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: certificate.Spec.CommonName},
		DNSNames:              certificate.Spec.DNSNames,
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(certificate.Spec.Duration.Duration),
		IsCA:                  certificate.Spec.IsCA,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if slices.Contains(certificate.Spec.Usages, certmanagerv1.UsageClientAuth) {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, text := range certificate.Spec.URIs {
		uri, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		template.URIs = append(template.URIs, uri)
	}
	parent, parentKey := template, key
	if certificate.Spec.IsCA {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
	} else if parent, parentKey, err = c.authority(ctx); err != nil {
		return nil, err
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		"ca.crt":                pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: parent.Raw}),
	}, nil
}

// authority reads the pair that signs.
func (c *Cluster) authority(ctx context.Context) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	issuer, secret := &certmanagerv1.Issuer{}, &corev1.Secret{}
	if err := c.Admin.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: render.IssuerCA}, issuer); err != nil {
		return nil, nil, err
	}
	if err := c.Admin.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: issuer.Spec.CA.SecretName}, secret); err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(secret.Data[corev1.TLSCertKey])
	keyBlock, _ := pem.Decode(secret.Data[corev1.TLSPrivateKeyKey])
	if block == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("the authority's Secret holds no PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	return certificate, key, err
}
