//go:build integration

package certs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// withoutCertManager is an operator in a cluster that does not know cert-manager's kinds.
func (s *stage) withoutCertManager() *certs.Certificates {
	return certs.NewCertificates(certs.Config{
		Client: noDefinitions{environment.Cached}, Uncached: environment.Uncached,
		Applier: s.applier, Render: s.config(), Now: func() time.Time { return s.now },
	})
}

// noDefinitions is a cluster without any CustomResourceDefinition.
type noDefinitions struct{ client.Client }

func (c noDefinitions) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok {
		return apierrors.NewNotFound(certmanagerv1.Resource("customresourcedefinitions"), key.Name)
	}
	return c.Client.Get(ctx, key, object, options...)
}

// condition checks what the Kubewarden says of its certificates.
func (s *stage) condition(status metav1.ConditionStatus, reason, part string) {
	s.t.Helper()
	condition := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
	if condition == nil || condition.Status != status || condition.Reason != reason || !strings.Contains(condition.Message, part) {
		s.t.Errorf("the condition is %+v, want %s %s with %q", condition, status, reason, part)
	}
}

// authority waits until the caches show the built-in authority.
func (s *stage) authority() *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.seen(secret, render.BuiltInCA, func(cached *corev1.Secret) bool { return len(cached.Data) == 2 })
	return secret
}

// presented waits until the mounted Secret has a pair that the condition likes.
func (s *serverStage) presented(condition func(certificate []byte) bool) []byte {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.seen(secret, render.ServingSecretName(s.server.Name), func(cached *corev1.Secret) bool { return condition(cached.Data["tls.crt"]) })
	return secret.Data["tls.crt"]
}

func anything(certificate []byte) bool { return len(certificate) > 0 }

func TestWithoutCertManagerTheBuiltInProviderIssues(t *testing.T) {
	s := newServerStage(t)
	s.certificates = s.withoutCertManager()
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Issued", "because cert-manager is not installed")
	if s.kubewarden.Status.CertificateProvider != builtIn {
		t.Errorf("provider %q is recorded, want built-in", s.kubewarden.Status.CertificateProvider)
	}
	authority, published := s.authority(), s.published()
	if _, leaked := published.Data["tls.key"]; leaked || string(published.Data["ca.crt"]) != string(authority.Data["tls.crt"]) {
		t.Errorf("published are %v, want the authority's certificate alone", published.Data)
	}
	if controller := metav1.GetControllerOf(authority); controller == nil || controller.UID != s.kubewarden.UID {
		t.Errorf("the authority is controlled by %v, want the Kubewarden", controller)
	}
	if progress := s.sync(); !progress.Ready || progress.After < 200*24*time.Hour {
		t.Errorf("the pair: %+v, want it ready and due for renewal after two thirds of a year", progress)
	}
	first := s.presented(anything)
	if err := verify(t, published.Data["ca.crt"], first, s.now); err != nil {
		t.Errorf("an API server does not trust the server: %v", err)
	}

	t.Run("at rest it makes no request", func(t *testing.T) {
		s.seen(&corev1.Secret{}, render.IssuedName("default"), func(*corev1.Secret) bool { return true })
		s.syncAuthority()
		s.sync()
		environment.Requests.Take()
		s.syncAuthority()
		s.sync()
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
		s.condition(metav1.ConditionTrue, "Issued", "because cert-manager is not installed")
	})
	t.Run("a successor keeps authority and pair", func(t *testing.T) {
		s.applier = apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached})
		s.certificates = s.withoutCertManager()
		s.syncAuthority()
		s.sync()
		if again := s.authority(); string(again.Data["tls.key"]) != string(authority.Data["tls.key"]) {
			t.Error("it made another authority")
		}
		if again := s.presented(anything); string(again) != string(first) {
			t.Error("it signed another pair")
		}
	})
	t.Run("cert-manager that comes later changes nothing", func(t *testing.T) {
		before := s.certificates
		s.certificates = certs.NewCertificates(certs.Config{
			Client: environment.Cached, Uncached: environment.Uncached, Applier: s.applier, Render: s.config(), Now: func() time.Time { return s.now },
		})
		s.syncAuthority()
		s.sync()
		s.condition(metav1.ConditionTrue, "Issued", "because cert-manager is not installed")
		var certificates certmanagerv1.CertificateList
		if err := environment.Direct.List(t.Context(), &certificates); err != nil || len(certificates.Items) > 0 {
			t.Errorf("Certificates: %v (%v), want none", certificates.Items, err)
		}
		s.certificates = before
	})
	t.Run("the pair is renewed when two thirds of its life are over", func(t *testing.T) {
		s.now = noon.Add(250 * 24 * time.Hour)
		s.sync()
		second := s.presented(func(certificate []byte) bool { return string(certificate) != string(first) })
		if err := verify(t, published.Data["ca.crt"], second, noon.Add(year+24*time.Hour)); err != nil {
			t.Errorf("the new pair: %v", err)
		}
	})
}

func TestSpoiledAuthorityIsLeftAlone(t *testing.T) {
	s := newServerStage(t)
	s.certificates = s.withoutCertManager()
	s.syncAuthority()
	s.sync()
	first := s.presented(anything)
	authority := s.authority()
	good := authority.DeepCopy()
	authority.Data["tls.key"] = []byte("spoiled")
	if err := environment.Direct.Update(t.Context(), authority); err != nil {
		t.Fatalf("spoil the authority: %v", err)
	}
	s.seen(authority, authority.Name, func(cached *corev1.Secret) bool { return string(cached.Data["tls.key"]) == "spoiled" })
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "AuthorityUnusable", "Secret kubewarden/kubewarden-ca-built-in holds no authority that can sign")
	if progress := s.sync(); !progress.Ready {
		t.Errorf("the server: %+v, want it to go on with what it has", progress)
	}
	if string(s.presented(anything)) != string(first) {
		t.Error("the pair changed")
	}

	// A user who has no copy deletes it: another one takes over, and the first stays trusted.
	if err := environment.Direct.Delete(t.Context(), authority); err != nil {
		t.Fatalf("delete the authority: %v", err)
	}
	s.gone(authority.Name)
	s.syncAuthority()
	published := s.published()
	if string(published.Data["old-ca.crt"]) != string(good.Data["tls.crt"]) || string(published.Data["ca.crt"]) != string(s.authority().Data["tls.crt"]) {
		t.Errorf("published are %q, want the new authority beside the first", published.Data)
	}
	s.now = s.now.Add(5 * time.Second)
	if progress := s.sync(); progress.After == 0 || string(s.presented(anything)) != string(first) {
		t.Errorf("the server: %+v, want it to wait until the new authority has been trusted", progress)
	}
	s.now = s.now.Add(10 * time.Second)
	s.sync()
	second := s.presented(func(certificate []byte) bool { return string(certificate) != string(first) })
	if err := verify(t, published.Data["ca.crt"], second, s.now); err != nil {
		t.Errorf("the new pair: %v", err)
	}
}

func TestTwoOperatorsMakeOneAuthority(t *testing.T) {
	s := newStage(t)
	const operators = 8
	var group sync.WaitGroup
	for range operators {
		applier := apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached})
		racing := certs.NewCertificates(certs.Config{
			Client: noDefinitions{environment.Cached}, Uncached: environment.Uncached, Applier: applier, Render: s.config(), Now: func() time.Time { return noon },
		})
		group.Go(func() {
			if _, err := racing.SyncAuthority(t.Context(), s.kubewarden); err != nil {
				t.Errorf("sync the authority: %v", err)
			}
		})
	}
	group.Wait()
	authority, published := s.authority(), s.published()
	if string(published.Data["ca.crt"]) != string(authority.Data["tls.crt"]) || len(published.Data["old-ca.crt"]) > 0 {
		t.Errorf("published are %q, want the one authority", published.Data)
	}
}

// A cluster whose cert-manager does not answer gets certificates all the same.
func TestBuiltInTakesOverFromSilence(t *testing.T) {
	s := newServerStage(t)
	s.now = time.Now()
	s.syncAuthority()
	s.condition(metav1.ConditionFalse, "WaitingForIssuer", "waiting for cert-manager")
	if progress := s.sync(); progress.Ready || !strings.Contains(progress.Message, "CertificatesReady") {
		t.Errorf("the server: %+v, want to wait for the choice", progress)
	}
	s.answer("the issuer is on holiday")
	// The minute counts from when the Certificate was made, which was after s.now.
	if progress := s.syncAuthority(); progress.After == 0 || progress.After > time.Minute+time.Since(s.now) {
		t.Errorf("%+v, want to look again within a minute", progress)
	}
	s.now = s.now.Add(time.Minute + time.Second)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "CertManagerNotIssuing", "the issuer is on holiday")
	if s.kubewarden.Status.CertificateProvider != builtIn {
		t.Errorf("provider %q is recorded, want built-in", s.kubewarden.Status.CertificateProvider)
	}
	s.authority()

	// Once that is recorded, cert-manager is not waited for any more.
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "CertManagerNotIssuing", "the issuer is on holiday")
	s.withdrawn(render.CertificateCA)
	s.sync()
	if err := verify(t, s.published().Data["ca.crt"], s.presented(anything), s.now); err != nil {
		t.Errorf("an API server does not trust the server: %v", err)
	}
}

// withdrawn waits until the caches show no Certificate of a name.
func (s *stage) withdrawn(name string) {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 10*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		err := environment.Cached.Get(ctx, client.ObjectKey{Namespace: applytest.Namespace, Name: name}, &certmanagerv1.Certificate{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		s.t.Fatalf("wait until Certificate %s is gone: %v", name, err)
	}
}

// A cluster whose API server takes no Certificate, since cert-manager's own webhook is down.
func TestBuiltInTakesOverFromRefusal(t *testing.T) {
	s := newStage(t)
	refusing := refusal{environment.Cached}
	s.certificates = certs.NewCertificates(certs.Config{
		Client: refusing, Uncached: environment.Uncached, Render: s.config(), Now: func() time.Time { return s.now },
		Applier: apply.NewApplier(apply.Config{Client: refusing, Uncached: environment.Uncached}),
	})
	if _, err := s.certificates.SyncAuthority(t.Context(), s.kubewarden); err == nil || !strings.Contains(err.Error(), "webhook is down") {
		t.Errorf("at first: %v, want the refusal", err)
	}
	s.now = s.now.Add(time.Minute)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "CertManagerNotIssuing", "webhook is down")
}

// refusal is an API server that takes no objects of cert-manager's.
type refusal struct{ client.Client }

func (c refusal) Apply(ctx context.Context, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	if encoded, err := json.Marshal(object); err != nil || strings.Contains(string(encoded), `"cert-manager.io/v1"`) {
		return apierrors.NewInternalError(errors.New("webhook is down"))
	}
	return c.Client.Apply(ctx, object, options...)
}

func TestProviderIsChangedByTheSpec(t *testing.T) {
	s := newServerStage(t)
	ca := newAuthority(t, "ca", noon.Add(9*year))
	s.replaceAuthority(ca)
	firstPair := ca.issue(t, dnsName, noon.Add(year))
	s.sync()
	s.issuePair(firstPair)
	s.sync()
	s.presents(firstPair)
	s.trust(ca.pem())

	s.kubewarden.Spec.Certificates.Provider = builtIn
	s.syncAuthority()
	builtInCA := s.authority()
	published := s.published()
	if string(published.Data["ca.crt"]) != string(builtInCA.Data["tls.crt"]) || string(published.Data["old-ca.crt"]) != string(ca.pem()) {
		t.Fatalf("published are %q, want both authorities", published.Data)
	}
	s.syncAuthority()
	s.withdrawn(render.CertificateCA)
	if progress := s.sync(); !progress.Ready || progress.After == 0 {
		t.Errorf("while a webhook does not trust the new authority: %+v, want to wait", progress)
	}
	s.withdrawn(render.IssuedName("default"))
	s.presents(firstPair)
	bundle, err := s.certificates.CABundle(t.Context())
	if err != nil {
		t.Fatalf("get the CA bundle: %v", err)
	}
	s.trust(bundle)
	s.now = time.Now().Add(11 * time.Second)
	s.sync()
	second := s.presented(func(certificate []byte) bool { return string(certificate) != string(firstPair.Certificate) })
	if err := verify(t, builtInCA.Data["tls.crt"], second, s.now); err != nil {
		t.Errorf("the new pair: %v", err)
	}

	t.Run("and back, once cert-manager has issued", func(t *testing.T) {
		s.kubewarden.Spec.Certificates.Provider = certManager
		s.syncAuthority()
		s.condition(metav1.ConditionTrue, "ChangingProvider", "the built-in provider goes on")
		if s.kubewarden.Status.CertificateProvider != builtIn {
			t.Errorf("provider %q is recorded, want built-in until cert-manager has issued", s.kubewarden.Status.CertificateProvider)
		}
		next := newAuthority(t, "next", noon.Add(9*year))
		s.issueAuthority(next)
		s.syncAuthority()
		if s.kubewarden.Status.CertificateProvider != certManager {
			t.Errorf("provider %q is recorded, want cert-manager", s.kubewarden.Status.CertificateProvider)
		}
		if got := string(s.published().Data["ca.crt"]); got != string(next.pem()) {
			t.Errorf("published is %q, want cert-manager's authority", got)
		}
		s.syncAuthority()
		s.gone(render.BuiltInCA)

		s.sync() // and asks cert-manager for a pair, in the place of that of the built-in provider
		s.gone(render.IssuedName("default"))
		pair := next.issue(t, dnsName, noon.Add(year))
		s.issuePair(pair)
		s.sync()
		if string(s.presented(anything)) != string(second) {
			t.Error("the pair changed before the webhook trusts the new authority")
		}
		if bundle, err = s.certificates.CABundle(t.Context()); err != nil {
			t.Fatalf("get the CA bundle: %v", err)
		}
		s.trust(bundle)
		s.now = time.Now().Add(22 * time.Second)
		s.sync()
		s.presents(pair)
	})
}

func TestCertManagerThatVanishesIsMissed(t *testing.T) {
	s := newStage(t)
	s.syncAuthority()
	s.issueAuthority(newAuthority(t, "ca", noon.Add(9*year)))
	s.syncAuthority()
	s.published()
	s.certificates = s.withoutCertManager()
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "CertManagerNotFound", "stays in use until it expires")
	if s.kubewarden.Status.CertificateProvider != certManager {
		t.Errorf("provider %q is recorded, want cert-manager as before", s.kubewarden.Status.CertificateProvider)
	}
}
