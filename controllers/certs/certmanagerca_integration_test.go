//go:build integration

package certs_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// restartBesideCertManager is another process of the operator.
func (s *serverStage) restartBesideCertManager() {
	s.applier = apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached})
	s.certificates = certs.NewCertificates(certs.Config{
		Client: environment.Cached, Uncached: environment.Uncached,
		Applier: s.applier, Render: s.config(), Now: func() time.Time { return s.now },
	})
}

// asks waits until the caches show a Certificate of the authority, and an issuer, with Secrets
// that the condition likes.
func (s *serverStage) asks(condition func(issued, signer string) bool) (issued, signer string) {
	s.t.Helper()
	certificate, issuer := &certmanagerv1.Certificate{}, &certmanagerv1.Issuer{}
	err := wait.PollUntilContextTimeout(s.t.Context(), 10*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		for name, object := range map[string]client.Object{render.CertificateCA: certificate, render.IssuerCA: issuer} {
			if err := environment.Cached.Get(ctx, client.ObjectKey{Namespace: applytest.Namespace, Name: name}, object); err != nil {
				return false, client.IgnoreNotFound(err)
			}
		}
		issued, signer = certificate.Spec.SecretName, issuer.Spec.CA.SecretName
		return condition(issued, signer), nil
	})
	if err != nil {
		s.t.Fatalf("wait for the caches to show what the authority is issued into (%q) and signs with (%q): %v", issued, signer, err)
	}
	return issued, signer
}

// rekeyedByCertManager is a server with a pair of an authority, and a next authority that was
// asked for.
func rekeyedByCertManager(t *testing.T) (s *serverStage, before authority, pair certs.Pair, next string) {
	t.Helper()
	before = newAuthority(t, "before", noon.Add(9*year))
	s = newServerStage(t)
	s.replaceAuthority(before)
	pair = before.issue(t, dnsName, noon.Add(year))
	s.sync()
	s.issuePair(pair)
	s.sync()
	s.presents(pair)
	s.trust(before.pem())
	s.asks(func(issued, signer string) bool { return issued == render.CertificateCA && signer == issued })

	s.kubewarden.Annotations = map[string]string{operatorv1alpha1.AnnotationRekey: "monday"}
	s.restartBesideCertManager()
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", `the annotation asks for it by "monday"`)
	next, signer := s.asks(func(issued, _ string) bool { return issued != render.CertificateCA })
	if signer != render.CertificateCA {
		t.Fatalf("the issuer signs with %s before anybody trusts that", signer)
	}
	s.restartBesideCertManager()
	s.syncAuthority()
	s.trusts(before.pem(), nil)
	s.condition(metav1.ConditionTrue, "Rekeying", "waiting for cert-manager to issue Certificate")
	return s, before, pair, next
}

func TestCertManagerIssuesAnotherAuthorityStepByStep(t *testing.T) {
	s, before, first, next := rekeyedByCertManager(t)
	after := newAuthority(t, "after", noon.Add(9*year))
	s.issueAuthority(after)
	s.restartBesideCertManager()
	s.syncAuthority()
	s.trusts(before.pem(), after.pem())
	s.restartBesideCertManager()
	s.now = time.Now().Add(time.Minute)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "the next authority is published: waiting for ValidatingWebhookConfiguration")
	s.sync()
	s.presents(first)

	s.trust(join(before.pem(), after.pem()))
	s.restartBesideCertManager()
	s.now = time.Now().Add(11 * time.Second)
	s.syncAuthority()
	s.asks(func(issued, signer string) bool { return issued == next && signer == next })
	s.restartBesideCertManager()
	s.syncAuthority()
	s.gone(render.CertificateCA)
	s.trusts(after.pem(), before.pem())

	s.sync() // has the pair issued again
	s.gone(render.IssuedName("default"))
	s.presents(first)
	second := after.issue(t, dnsName, noon.Add(year))
	s.issuePair(second)
	s.restartBesideCertManager()
	s.now = s.now.Add(11 * time.Second)
	s.sync()
	s.presents(second)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "has been mounted for 2m0s")
	s.now = s.now.Add(2 * time.Minute)
	s.syncAuthority()
	s.trusts(after.pem(), nil)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Issued", "")

	t.Run("once for each value", func(t *testing.T) {
		s.restartBesideCertManager()
		s.syncAuthority()
		environment.Requests.Take()
		s.syncAuthority()
		s.sync()
		s.sync()
		environment.Requests.Take()
		s.syncAuthority()
		s.sync()
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
		s.asks(func(issued, signer string) bool { return issued == next && signer == next })
	})
	t.Run("another provider leaves nothing behind", func(*testing.T) {
		s.kubewarden.Spec.Certificates.Provider = builtIn
		s.syncAuthority()
		s.authority()
		s.syncAuthority()
		s.gone(next)
	})
}

// Nobody issues the authority again that signed: the one that was made last signs at once, and
// is trusted beside it.
func TestLostAuthorityOfCertManagerIsFollowedAtOnce(t *testing.T) {
	s, before, first, next := rekeyedByCertManager(t)
	after := newAuthority(t, "after", noon.Add(9*year))
	s.issueAuthority(after)
	lost := &corev1.Secret{}
	lost.Name, lost.Namespace = render.CertificateCA, applytest.Namespace
	if err := environment.Direct.Delete(t.Context(), lost); err != nil {
		t.Fatalf("delete the authority: %v", err)
	}
	s.gone(lost.Name)
	s.syncAuthority()
	s.asks(func(issued, signer string) bool { return issued == next && signer == next })
	s.trusts(after.pem(), before.pem())
	s.sync()
	s.presents(first)
	if bundle, err := s.certificates.CABundle(t.Context()); err != nil || !bytes.Contains(bundle, before.pem()) {
		t.Errorf("the bundle is %q (%v), want the lost authority in it", bundle, err)
	}
}

// lateClient shows a Secret that is gone.
type lateClient struct {
	client.Client

	shown *corev1.Secret
}

func (c lateClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if secret, ok := object.(*corev1.Secret); ok && key == client.ObjectKeyFromObject(c.shown) {
		c.shown.DeepCopyInto(secret)
		return nil
	}
	return c.Client.Get(ctx, key, object, options...)
}

// A Secret that went while the operator looked at it is not made by the operator, without a
// pair.
func TestAPairThatIsGoneIsLeftToCertManager(t *testing.T) {
	s := newServerStage(t)
	ca := newAuthority(t, "authority", noon.Add(9*year))
	s.replaceAuthority(ca)
	s.sync()
	s.issuePair(ca.issue(t, dnsName, noon.Add(year)))
	s.sync()
	gone := &corev1.Secret{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.IssuedName("default")}
	if err := environment.Direct.Get(t.Context(), key, gone); err != nil {
		t.Fatal(err)
	}
	gone.OwnerReferences = nil // it has not been adopted yet
	if err := environment.Direct.Delete(t.Context(), gone.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	s.gone(key.Name)
	s.certificates = certs.NewCertificates(certs.Config{
		Client: lateClient{environment.Cached, gone}, Uncached: environment.Uncached,
		Applier: apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached}),
		Render:  s.config(), Now: func() time.Time { return s.now },
	})
	s.sync()
	if err := environment.Direct.Get(t.Context(), key, gone); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret is %v (%v), want none", gone.Data, err)
	}
}
