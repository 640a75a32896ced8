//go:build integration

package certs_test

import (
	"bytes"
	"context"
	"net/url"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// issuers is what the issuers of the played cert-manager sign with, by name; one that is not
// there does not issue. silent ones do not tell their authority.
type issuers struct {
	signers map[string]authority
	silent  bool
}

// answer does what cert-manager does for the Certificates that refer to the issuers: it issues
// where there is no Secret, or one of another issuer.
func (s *serverStage) issueFrom(issuers issuers) {
	s.t.Helper()
	for _, name := range []string{render.IssuerProbeName, render.OperatorAsClient().Issued, render.ScannerAsClient().Issued, render.IssuedName("default")} {
		certificate := &certmanagerv1.Certificate{}
		key := client.ObjectKey{Namespace: applytest.Namespace, Name: name}
		err := environment.Direct.Get(s.t.Context(), key, certificate)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		signer, known := issuers.signers[certificate.Spec.IssuerRef.Name]
		secret := &corev1.Secret{}
		err = environment.Direct.Get(s.t.Context(), key, secret)
		if client.IgnoreNotFound(err) != nil {
			s.t.Fatal(err)
		}
		if !known || err == nil && secret.Annotations[certmanagerv1.IssuerNameAnnotationKey] == certificate.Spec.IssuerRef.Name {
			continue
		}
		s.deliver(certificate, secret, signer, issuers.silent)
	}
}

func (s *serverStage) deliver(certificate *certmanagerv1.Certificate, secret *corev1.Secret, signer authority, silent bool) {
	s.t.Helper()
	var pair certs.Pair
	if len(certificate.Spec.DNSNames) > 0 {
		pair = signer.issue(s.t, certificate.Spec.DNSNames[0], s.now.Add(year))
	} else {
		name, err := url.Parse(certificate.Spec.URIs[0])
		if err != nil {
			s.t.Fatal(err)
		}
		pair = signer.issueClient(s.t, name)
	}
	secret.Name, secret.Namespace, secret.Type = certificate.Spec.SecretName, certificate.Namespace, corev1.SecretTypeTLS
	secret.Labels = certificate.Spec.SecretTemplate.Labels
	secret.Annotations = map[string]string{
		certmanagerv1.IssuerNameAnnotationKey:  certificate.Spec.IssuerRef.Name,
		certmanagerv1.IssuerKindAnnotationKey:  certificate.Spec.IssuerRef.Kind,
		certmanagerv1.IssuerGroupAnnotationKey: certificate.Spec.IssuerRef.Group,
	}
	secret.Data = map[string][]byte{corev1.TLSCertKey: pair.Certificate, corev1.TLSPrivateKeyKey: pair.Key}
	if !silent {
		secret.Data[cmmetav1.TLSCAKey] = signer.pem()
	}
	var err error
	if secret.UID == "" {
		err = environment.Direct.Create(s.t.Context(), secret)
	} else {
		err = environment.Direct.Update(s.t.Context(), secret)
	}
	if err != nil {
		s.t.Fatalf("write Secret %s: %v", secret.Name, err)
	}
	s.seen(&corev1.Secret{}, secret.Name, func(cached *corev1.Secret) bool { return bytes.Equal(cached.Data[corev1.TLSCertKey], pair.Certificate) })
}

// settle lets everything happen, a minute at a time, and looks after each step that what is
// presented is trusted by what is published and by the webhook.
func (s *serverStage) settle(issuers issuers) {
	s.t.Helper()
	for range 8 {
		s.restartBesideCertManager()
		s.issueFrom(issuers)
		s.syncAuthority()
		s.upToDate(render.SecretCA)
		s.presentsWhatIsTrusted()
		s.issueFrom(issuers)
		s.sync()
		s.syncClients()
		for _, client := range render.Clients() {
			s.upToDate(client.Issued)
			s.upToDate(client.Presented)
		}
		s.upToDate(render.IssuedName("default"))
		s.upToDate(render.ServingSecretName("default"))
		s.presentsWhatIsTrusted()
		if bundle, err := s.certificates.CABundle(s.t.Context()); err == nil {
			s.trust(bundle)
			s.presentsWhatIsTrusted()
		}
		s.now = s.now.Add(time.Minute)
	}
}

// upToDate waits until the caches show a Secret as the API server holds it.
func (s *serverStage) upToDate(name string) {
	s.t.Helper()
	s.poll(name, func(ctx context.Context, key client.ObjectKey) (bool, error) {
		live, cached := &corev1.Secret{}, &corev1.Secret{}
		if err := environment.Direct.Get(ctx, key, live); client.IgnoreNotFound(err) != nil {
			return false, err
		}
		err := environment.Cached.Get(ctx, key, cached)
		return cached.ResourceVersion == live.ResourceVersion, client.IgnoreNotFound(err)
	})
}

func (s *serverStage) presentsWhatIsTrusted() {
	s.t.Helper()
	mounted := &corev1.Secret{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.ServingSecretName("default")}
	if err := environment.Direct.Get(s.t.Context(), key, mounted); err != nil {
		if apierrors.IsNotFound(err) {
			return
		}
		s.t.Fatal(err)
	}
	var webhooks admissionregistrationv1.ValidatingWebhookConfigurationList
	if err := environment.Direct.List(s.t.Context(), &webhooks); err != nil {
		s.t.Fatal(err)
	}
	for i := range webhooks.Items {
		if err := verify(s.t, webhooks.Items[i].Webhooks[0].ClientConfig.CABundle, mounted.Data[corev1.TLSCertKey], s.now); err != nil {
			s.t.Fatalf("an API server refuses what the server presents: %v", err)
		}
	}
}

// inForce checks who signs, by the status, and what is trusted.
func (s *serverStage) inForce(issuer string, trusted ...authority) {
	s.t.Helper()
	s.condition(metav1.ConditionTrue, "Issued", "")
	recorded := ""
	if s.kubewarden.Status.CertificateIssuer != nil {
		recorded = s.kubewarden.Status.CertificateIssuer.Name
	}
	if recorded != issuer {
		s.t.Errorf("the status names the issuer %q, want %q", recorded, issuer)
	}
	var want []byte
	for _, authority := range trusted {
		want = append(want, authority.pem()...)
	}
	if len(trusted) > 0 {
		s.trusts(want, nil)
	}
}

func TestIssuersFollowEachOther(t *testing.T) {
	s := newServerStage(t)
	own, a, b := newAuthority(t, "own", noon.Add(9*year)), newAuthority(t, "a", noon.Add(9*year)), newAuthority(t, "b", noon.Add(9*year))
	s.syncAuthority()
	s.issueAuthority(own)
	s.settle(issuers{signers: map[string]authority{render.IssuerCA: own}})
	s.inForce("", own)

	name := func(issuer string) {
		s.kubewarden.Spec.Certificates.IssuerRef = &operatorv1alpha1.IssuerReference{Name: issuer, Kind: "ClusterIssuer"}
	}
	t.Run("one that does not issue leaves everything as it is", func(*testing.T) {
		name("a")
		s.settle(issuers{signers: map[string]authority{render.IssuerCA: own}})
		s.condition(metav1.ConditionTrue, "ChangingProvider", "ClusterIssuer a; until that has issued, cert-manager's authority goes on: waiting for cert-manager to issue Certificate kubewarden/kubewarden-issuer from ClusterIssuer a of cert-manager.io")
		s.trusts(own.pem(), nil)
	})
	t.Run("one that tells no authority is not used", func(t *testing.T) {
		s.settle(issuers{signers: map[string]authority{"a": a}, silent: true})
		s.condition(metav1.ConditionFalse, "IssuerWithoutAuthority", "ClusterIssuer a of cert-manager.io issues certificates and does not tell which authority signs them: there is no ca.crt in Secret kubewarden/kubewarden-issuer")
		s.trusts(own.pem(), nil)
		if err := environment.Direct.Delete(t.Context(), s.certManagers(render.IssuerProbeName)); err != nil {
			t.Fatal(err)
		}
		s.gone(render.IssuerProbeName)
	})
	t.Run("an issuer in the place of the own authority", func(*testing.T) {
		s.settle(issuers{signers: map[string]authority{"a": a}})
		s.inForce("a", a)
		s.gone(render.CertificateCA)
	})
	t.Run("an issuer that changes its authority when a pair is renewed", func(*testing.T) {
		next := newAuthority(t, "next of a", noon.Add(9*year))
		certificate := &certmanagerv1.Certificate{}
		key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.IssuedName("default")}
		if err := environment.Direct.Get(t.Context(), key, certificate); err != nil {
			t.Fatal(err)
		}
		s.deliver(certificate, s.certManagers(key.Name), next, false)
		s.settle(issuers{})
		s.condition(metav1.ConditionTrue, "Issued", "")
		secret := &corev1.Secret{}
		s.seen(secret, render.SecretCA, func(cached *corev1.Secret) bool {
			return bytes.Contains(cached.Data["ca.crt"], a.pem()) && bytes.Contains(cached.Data["ca.crt"], next.pem())
		})
		t.Run("everything is issued anew when somebody asks for it", func(*testing.T) {
			s.kubewarden.Annotations = map[string]string{operatorv1alpha1.AnnotationRekey: "monday"}
			s.settle(issuers{signers: map[string]authority{"a": next}})
			s.inForce("a", next)
		})
	})
	t.Run("another issuer in its place", func(*testing.T) {
		name("b")
		s.settle(issuers{signers: map[string]authority{"b": b}})
		s.inForce("b", b)
	})
	t.Run("at rest it makes no request", func(t *testing.T) {
		environment.Requests.Take()
		s.syncAuthority()
		s.sync()
		s.syncClients()
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
	})
	t.Run("the own authority in the place of an issuer", func(*testing.T) {
		own := newAuthority(t, "own again", noon.Add(9*year))
		s.kubewarden.Spec.Certificates.IssuerRef = nil
		s.syncAuthority()
		s.condition(metav1.ConditionTrue, "ChangingProvider", "cert-manager's authority; until that has issued, ClusterIssuer b goes on")
		s.issueAuthority(own)
		s.settle(issuers{signers: map[string]authority{render.IssuerCA: own}})
		s.inForce("", own)
		s.gone(render.IssuerProbeName)
	})
	t.Run("the built-in provider in the place of an issuer", func(*testing.T) {
		name("a")
		s.settle(issuers{signers: map[string]authority{"a": a}})
		s.inForce("a", a)
		s.kubewarden.Spec.Certificates = operatorv1alpha1.Certificates{Provider: builtIn}
		s.settle(issuers{})
		s.inForce("")
		s.trusts(s.authority().Data[corev1.TLSCertKey], nil)
		s.gone(render.IssuerProbeName)
	})
	t.Run("an issuer in the place of the built-in provider", func(*testing.T) {
		s.kubewarden.Spec.Certificates = operatorv1alpha1.Certificates{}
		name("b")
		s.settle(issuers{signers: map[string]authority{"b": b}})
		s.inForce("b", b)
		s.gone(render.BuiltInCA)
	})
}

// certManagers is a Secret as the API server holds it.
func (s *serverStage) certManagers(name string) *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	if err := environment.Direct.Get(s.t.Context(), client.ObjectKey{Namespace: applytest.Namespace, Name: name}, secret); err != nil {
		s.t.Fatal(err)
	}
	return secret
}
