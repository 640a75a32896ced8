//go:build integration

package certs_test

import (
	"net/url"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func (s *stage) syncClients() time.Duration {
	s.t.Helper()
	after, err := s.certificates.SyncClients(s.t.Context(), s.kubewarden)
	if err != nil {
		s.t.Fatalf("sync the clients' certificates: %v", err)
	}
	return after
}

// operatorSecret waits until the caches show the operator's pair.
func (s *stage) operatorSecret(condition func(certificate []byte) bool) *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.seen(secret, render.OperatorAsClient().Presented, func(cached *corev1.Secret) bool { return condition(cached.Data["tls.crt"]) })
	return secret
}

func TestOperatorIsIssuedAClientCertificateByTheBuiltInProvider(t *testing.T) {
	s := newStage(t)
	s.certificates = s.withoutCertManager()
	if after := s.syncClients(); after != 0 {
		t.Errorf("before a provider is chosen: look again after %s, want never", after)
	}
	if _, err := s.certificates.OperatorCertificate(t.Context()); err == nil {
		t.Error("there is a certificate before there is an authority")
	}
	s.syncAuthority()
	authority := s.authority()
	if after := s.syncClients(); after < 200*24*time.Hour {
		t.Errorf("look again after %s, want two thirds of a year", after)
	}
	secret := s.operatorSecret(anything)
	if owner := metav1.GetControllerOf(secret); owner == nil || owner.UID != s.kubewarden.UID {
		t.Errorf("the Secret is controlled by %v, want the Kubewarden", owner)
	}
	pair, err := s.certificates.OperatorCertificate(t.Context())
	if err != nil || len(pair.Leaf.URIs) != 1 || pair.Leaf.URIs[0].String() != contract.OperatorIdentity {
		t.Fatalf("got %+v, %v; want a certificate for %s", pair, err, contract.OperatorIdentity)
	}
	if err := pair.Leaf.CheckSignatureFrom(parse(t, authority.Data["tls.crt"])); err != nil {
		t.Errorf("it is not signed by the authority of the installation: %v", err)
	}

	s.seen(&corev1.Secret{}, render.ScannerAsClient().Presented, func(cached *corev1.Secret) bool { return len(cached.Data) == 2 })
	environment.Requests.Take()
	s.syncClients()
	if requests := environment.Requests.Take(); len(requests) > 0 {
		t.Errorf("at rest it makes requests: %q", requests)
	}
	s.now = noon.Add(year * 3 / 4)
	s.syncClients()
	renewed := s.operatorSecret(func(certificate []byte) bool { return string(certificate) != string(secret.Data["tls.crt"]) })
	if got := parse(t, renewed.Data["tls.crt"]).NotAfter; !got.After(noon.Add(year)) {
		t.Errorf("the renewed certificate ends at %s", got)
	}
}

func TestOperatorIsIssuedAClientCertificateByCertManager(t *testing.T) {
	s := newServerStage(t)
	ca := newAuthority(t, "ca", noon.Add(9*year))
	s.replaceAuthority(ca)
	s.syncClients()
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.OperatorClient}
	if err := environment.Direct.Get(t.Context(), key, certificate); err != nil {
		t.Fatalf("get the Certificate: %v", err)
	}
	name, err := url.Parse(certificate.Spec.URIs[0])
	if err != nil {
		t.Fatal(err)
	}
	s.issue(certificate.Spec.SecretName, ca.issueClient(t, name), certificate.Spec.SecretTemplate.Labels)
	s.syncClients()
	s.operatorSecret(anything)
	if _, err := s.certificates.OperatorCertificate(t.Context()); err != nil {
		t.Errorf("once it is issued: %v", err)
	}

	t.Run("and by the other provider after a change", func(t *testing.T) {
		s.kubewarden.Spec.Certificates.Provider = builtIn
		s.syncAuthority()
		s.authority()
		s.syncAuthority()
		s.syncClients()
		s.withdrawn(render.OperatorClient)
		s.seen(&corev1.Secret{}, render.OperatorClient, func(cached *corev1.Secret) bool {
			return parse(t, cached.Data["tls.crt"]).Issuer.CommonName == render.BuiltInCA
		})
	})
	t.Run("and back", func(t *testing.T) {
		s.kubewarden.Status.CertificateProvider = certManager
		s.syncClients()
		s.gone(render.OperatorClient)
		if err := environment.Direct.Get(t.Context(), key, certificate); err != nil {
			t.Errorf("get the Certificate: %v", err)
		}
	})
}

func TestOperatorsCertificateMustBeOne(t *testing.T) {
	s := newStage(t)
	ca := newAuthority(t, "ca", noon.Add(9*year))
	labels := render.InstallationLabels(s.kubewarden.Name)
	for name, pair := range map[string]certs.Pair{
		"a server's": ca.issue(t, dnsName, noon.Add(year)),
		"text":       {Certificate: []byte("text"), Key: []byte("text")},
	} {
		s.issue(render.OperatorAsClient().Presented, pair, labels)
		if _, err := s.certificates.OperatorCertificate(t.Context()); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
