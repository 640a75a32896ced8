//go:build integration

package certs_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// certificate is a Certificate as the API server holds it.
func (s *serverStage) certificate(name string) *certmanagerv1.Certificate {
	s.t.Helper()
	certificate := &certmanagerv1.Certificate{}
	if err := environment.Direct.Get(s.t.Context(), client.ObjectKey{Namespace: applytest.Namespace, Name: name}, certificate); err != nil {
		s.t.Fatal(err)
	}
	return certificate
}

func TestCertManagersAuthorityFollowsTheSpec(t *testing.T) {
	s := newServerStage(t)
	before, after := newAuthority(t, "before", noon.Add(9*year)), newAuthority(t, "after", noon.Add(9*year))
	s.replaceAuthority(before)
	s.settle(issuers{signers: map[string]authority{render.IssuerCA: before}})
	s.inForce("", before)

	t.Run("a pair's key and life need no other authority", func(t *testing.T) {
		s.kubewarden.Spec.Certificates.PrivateKey = keyed("RSA", 3072)
		s.kubewarden.Spec.Certificates.Duration = duration(48 * time.Hour)
		s.settle(issuers{signers: map[string]authority{render.IssuerCA: before}})
		s.inForce("", before)
		spec := s.certificate(render.IssuedName("default")).Spec
		if spec.PrivateKey.Algorithm != "RSA" || spec.PrivateKey.Size != 3072 || spec.Duration.Duration != 48*time.Hour {
			t.Errorf("the server's Certificate asks for %+v and %s", spec.PrivateKey, spec.Duration)
		}
		if spec := s.certificate(render.CertificateCA).Spec; spec.SecretName != render.CertificateCA || spec.PrivateKey.Algorithm != "ECDSA" {
			t.Errorf("the authority's Certificate asks for %+v into %s", spec.PrivateKey, spec.SecretName)
		}
	})
	s.kubewarden.Spec.Certificates.CAPrivateKey = keyed("RSA", 4096)
	s.kubewarden.Spec.Certificates.CADuration = duration(2 * year)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "spec.certificates.caPrivateKey asks for RSA 4096, and the one before has ECDSA 256")
	next, signer := s.asks(func(issued, _ string) bool { return issued != render.CertificateCA })
	if spec := s.certificate(render.CertificateCA).Spec; signer != render.CertificateCA || spec.PrivateKey.Size != 4096 || spec.Duration.Duration != 2*year {
		t.Errorf("%s signs, and the next is %+v for %s; want the former to sign on", signer, spec.PrivateKey, spec.Duration)
	}
	// What is asked for meanwhile waits until the next one signs.
	s.kubewarden.Spec.Certificates.CAPrivateKey = keyed("ECDSA", 384)
	s.settle(issuers{signers: map[string]authority{render.IssuerCA: before}})
	if spec := s.certificate(render.CertificateCA).Spec; spec.SecretName != next || spec.PrivateKey.Size != 4096 {
		t.Errorf("while the next authority is made its Certificate asks for %+v into %s", spec.PrivateKey, spec.SecretName)
	}
	s.kubewarden.Spec.Certificates.CAPrivateKey = keyed("RSA", 4096)
	s.issueAuthority(after)
	for range 2 {
		s.settle(issuers{signers: map[string]authority{render.IssuerCA: after}})
		s.lose(render.IssuedName("default"), before)
		s.lose(render.OperatorClient, before)
	}
	s.settle(issuers{signers: map[string]authority{render.IssuerCA: after}})
	s.inForce("", after)
	s.gone(render.CertificateCA)
}

// lose checks that a pair of a former authority does not stay.
func (s *serverStage) lose(name string, former authority) {
	s.t.Helper()
	if secret := s.certManagers(name); parse(s.t, secret.Data[corev1.TLSCertKey]).CheckSignatureFrom(former.certificate) == nil {
		s.t.Errorf("Secret %s has a pair of the authority before", name)
	}
}

func TestBuiltInAuthorityFollowsTheSpec(t *testing.T) {
	s := newServerStage(t)
	s.kubewarden.Spec.Certificates.Provider = builtIn
	s.settle(issuers{})
	s.inForce("")
	before, pair := s.authority().Data[corev1.TLSCertKey], s.certManagers(render.ServingSecretName("default")).Data[corev1.TLSCertKey]

	t.Run("a pair's key and life need no other authority", func(t *testing.T) {
		s.kubewarden.Spec.Certificates.PrivateKey = keyed("RSA", 2048)
		s.kubewarden.Spec.Certificates.Duration = duration(240 * time.Hour)
		s.settle(issuers{})
		s.inForce("")
		s.trusts(before, nil)
		certificate := parse(t, s.certManagers(render.ServingSecretName("default")).Data[corev1.TLSCertKey])
		if certificate.PublicKeyAlgorithm.String() != "RSA" || certificate.NotAfter.After(s.now.Add(240*time.Hour)) {
			t.Errorf("the server presents %s until %s", certificate.PublicKeyAlgorithm, certificate.NotAfter)
		}
		if again := s.certManagers(render.ServingSecretName("default")).Data[corev1.TLSCertKey]; bytes.Equal(again, pair) {
			t.Error("it is the same pair")
		}
	})
	s.kubewarden.Spec.Certificates.CADuration = duration(2 * year)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "spec.certificates.caDuration asks for 17520h0m0s, and the one before is valid for 87600h5m0s")
	s.seen(&corev1.Secret{}, render.BuiltInCANext, func(cached *corev1.Secret) bool { return len(cached.Data) == 2 })
	s.settle(issuers{})
	s.settle(issuers{})
	s.inForce("")
	after := parse(t, s.authority().Data[corev1.TLSCertKey])
	if bytes.Equal(s.authority().Data[corev1.TLSCertKey], before) || after.NotAfter.After(s.now.Add(2*year)) {
		t.Errorf("the authority lasts until %s", after.NotAfter)
	}
	s.trusts(s.authority().Data[corev1.TLSCertKey], nil)
}

func TestLateCertificatesAreTold(t *testing.T) {
	s := newServerStage(t)
	s.kubewarden.Spec.Certificates.Provider = builtIn
	s.settle(issuers{})
	const day = 24 * time.Hour
	start := s.now
	soon := func(age time.Duration, parts ...string) {
		t.Helper()
		s.now = start.Add(age)
		expiry, err := s.certificates.Expiry(t.Context(), s.kubewarden)
		if err != nil {
			t.Fatal(err)
		}
		if len(expiry.Soon) != len(parts) || expiry.After < 0 || len(parts) == 0 && expiry.After == 0 {
			t.Fatalf("after %s late are %q, and it is looked again after %s; want %q", age, expiry.Soon, expiry.After, parts)
		}
		for i, part := range parts {
			if !strings.Contains(expiry.Soon[i], part) {
				t.Errorf("late is %q, want %q", expiry.Soon[i], part)
			}
		}
	}
	soon(0)
	soon(303 * day)
	soon(305*day, "the certificate of the operator, in Secret kubewarden-operator-client-cert, expires at ",
		"the certificate of the audit scanner, in Secret kubewarden-audit-scanner-client-cert, expires at ", "the certificate of PolicyServer default, in Secret policy-server-default, expires at ")
	s.settle(issuers{})
	soon(305 * day)
	soon(10*year-day, "the authority, in Secret kubewarden-ca, expires at ", "the operator", "the audit scanner", "PolicyServer default")
	s.kubewarden.Spec.Certificates.RenewBefore = duration(30 * day)
	soon(305*day + 349*day)
	soon(305*day+351*day, "the operator", "the audit scanner", "PolicyServer default")
}
