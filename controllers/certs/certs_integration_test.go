//go:build integration

package certs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

var environment *applytest.Environment

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if environment, err = applytest.Start(nil); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	return m.Run(), nil
}

// stage is an installation whose clock stands still unless it is moved.
type stage struct {
	t            *testing.T
	now          time.Time
	applier      *apply.Applier
	certificates *certs.Certificates
	kubewarden   *operatorv1alpha1.Kubewarden
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, now: noon}
	s.applier = apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached})
	s.certificates = certs.NewCertificates(certs.Config{
		Client: environment.Cached, Uncached: environment.Uncached,
		Applier: s.applier, Render: s.config(), Now: func() time.Time { return s.now },
	})
	s.kubewarden = &operatorv1alpha1.Kubewarden{}
	s.kubewarden.Name = operatorv1alpha1.KubewardenName
	if err := environment.Direct.Create(t.Context(), s.kubewarden); err != nil {
		t.Fatalf("create the Kubewarden: %v", err)
	}
	t.Cleanup(s.clear)
	return s
}

func (s *stage) config() render.Config {
	return render.Config{Namespace: applytest.Namespace, ServiceAccount: "kubewarden-operator", Image: "registry.example.com/kubewarden-operator:1"}
}

// clear deletes everything, since there is no garbage collector.
func (s *stage) clear() {
	ctx := context.Background()
	for _, object := range []client.Object{
		&corev1.Secret{}, &certmanagerv1.Certificate{}, &certmanagerv1.Issuer{}, &operatorv1alpha1.Kubewarden{},
		&policiesv1.PolicyServer{}, &admissionregistrationv1.ValidatingWebhookConfiguration{},
	} {
		var options []client.DeleteAllOfOption
		if namespaced, err := environment.Direct.IsObjectNamespaced(object); err == nil && namespaced {
			options = append(options, client.InNamespace(applytest.Namespace))
		}
		if err := environment.Direct.DeleteAllOf(ctx, object, options...); err != nil {
			s.t.Errorf("delete all %T: %v", object, err)
		}
	}
	for _, name := range []string{render.SecretCA, render.CertificateCA, render.BuiltInCA, render.BuiltInCANext, render.OwnWebhookCA, render.OwnWebhookPair, render.OperatorClient, render.OperatorAsClient().Presented, render.ScannerAsClient().Issued, render.ScannerAsClient().Presented, render.IssuedName("default"), render.ServingSecretName("default")} {
		s.gone(name)
	}
}

// seen waits until the caches show a Secret that satisfies the condition.
func (s *stage) seen(secret *corev1.Secret, name string, condition func(*corev1.Secret) bool) {
	s.t.Helper()
	s.poll(name, func(ctx context.Context, key client.ObjectKey) (bool, error) {
		err := environment.Cached.Get(ctx, key, secret)
		return err == nil && condition(secret), client.IgnoreNotFound(err)
	})
}

// gone waits until the caches show no Secret of the name.
func (s *stage) gone(name string) {
	s.t.Helper()
	s.poll(name, func(ctx context.Context, key client.ObjectKey) (bool, error) {
		err := environment.Cached.Get(ctx, key, &corev1.Secret{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

func (s *stage) poll(name string, condition func(context.Context, client.ObjectKey) (bool, error)) {
	s.t.Helper()
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: name}
	err := wait.PollUntilContextTimeout(context.Background(), 10*time.Millisecond, 10*time.Second, true,
		func(ctx context.Context) (bool, error) { return condition(ctx, key) })
	if err != nil {
		s.t.Fatalf("wait for the cache to show Secret %s as it should be: %v", name, err)
	}
}

// issue does what cert-manager would: it writes the Secret of a Certificate.
func (s *stage) issue(name string, pair certs.Pair, labels map[string]string) {
	s.t.Helper()
	secret := &corev1.Secret{
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: pair.Certificate, corev1.TLSPrivateKeyKey: pair.Key},
	}
	secret.Name, secret.Namespace, secret.Labels = name, applytest.Namespace, labels
	live := secret.DeepCopy()
	err := environment.Direct.Get(s.t.Context(), client.ObjectKeyFromObject(secret), live)
	switch {
	case apierrors.IsNotFound(err):
		err = environment.Direct.Create(s.t.Context(), secret)
	case err == nil:
		live.Data = secret.Data
		err = environment.Direct.Update(s.t.Context(), live)
	}
	if err != nil {
		s.t.Fatalf("write the issued Secret: %v", err)
	}
	s.seen(&corev1.Secret{}, name, func(cached *corev1.Secret) bool {
		return cmp.Equal(cached.Data, secret.Data)
	})
}

// issueAuthority writes the authority's Secret with the labels that its template asks for.
func (s *stage) issueAuthority(ca authority) {
	s.t.Helper()
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.CertificateCA}
	if err := environment.Direct.Get(s.t.Context(), key, certificate); err != nil {
		s.t.Fatalf("get the authority's Certificate: %v", err)
	}
	s.issue(certificate.Spec.SecretName, certs.Pair{Certificate: ca.pem(), Key: []byte("secret")}, certificate.Spec.SecretTemplate.Labels)
}

func (s *stage) syncAuthority() certs.Progress {
	s.t.Helper()
	progress, err := s.certificates.SyncAuthority(s.t.Context(), s.kubewarden)
	if err != nil {
		s.t.Fatalf("sync the authority: %v", err)
	}
	certs.SetCertificatesReady(s.kubewarden, progress)
	return progress
}

func (s *stage) published() *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.SecretCA}
	if err := environment.Direct.Get(s.t.Context(), key, secret); err != nil {
		s.t.Fatalf("get the published Secret: %v", err)
	}
	s.seen(&corev1.Secret{}, render.SecretCA, func(cached *corev1.Secret) bool { return cached.ResourceVersion == secret.ResourceVersion })
	return secret
}

func TestSyncAuthority(t *testing.T) {
	s := newStage(t)
	first, second := newAuthority(t, "first", noon.Add(9*year)), newAuthority(t, "second", noon.Add(9*year))

	if progress := s.syncAuthority(); progress.Ready || progress.Reason != operatorv1alpha1.ReasonWaitingForIssuer {
		t.Errorf("before anything is issued: %+v, want to wait for the issuer", progress)
	}
	if _, err := s.certificates.CABundle(t.Context()); !errors.Is(err, certs.ErrNotPublished) {
		t.Errorf("before anything is issued: CABundle returns %v, want ErrNotPublished", err)
	}

	s.issueAuthority(first)
	if progress := s.syncAuthority(); !progress.Ready || progress.Reason != operatorv1alpha1.ReasonIssued || progress.Message != "" {
		t.Errorf("once it is issued: %+v, want it ready", progress)
	}
	published := s.published()
	if diff := cmp.Diff(map[string][]byte{"ca.crt": first.pem(), "ca-bundle.crt": first.pem()}, published.Data); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	bundle, err := s.certificates.CABundle(t.Context())
	if err != nil || string(bundle) != string(first.pem()) {
		t.Errorf("CABundle is %q (%v), want the authority", bundle, err)
	}
	authoritySecret := &corev1.Secret{}
	s.seen(authoritySecret, render.CertificateCA, func(cached *corev1.Secret) bool { return metav1.GetControllerOf(cached) != nil })
	if owner := metav1.GetControllerOf(authoritySecret); owner.UID != s.kubewarden.UID {
		t.Errorf("the authority's Secret is controlled by %s, want the Kubewarden: nobody else would delete the key", owner.Name)
	}

	t.Run("at rest it makes no request", func(t *testing.T) {
		s.now = s.now.Add(time.Hour)
		environment.Requests.Take()
		s.syncAuthority()
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
	})
	t.Run("another authority joins the first", func(t *testing.T) {
		s.issueAuthority(second)
		s.syncAuthority()
		want := map[string][]byte{"ca.crt": second.pem(), "old-ca.crt": first.pem(), "ca-bundle.crt": join(second.pem(), first.pem())}
		if diff := cmp.Diff(want, s.published().Data); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
	t.Run("a deleted publication comes back", func(t *testing.T) {
		if err := environment.Direct.Delete(t.Context(), s.published()); err != nil {
			t.Fatalf("delete: %v", err)
		}
		s.gone(render.SecretCA)
		s.syncAuthority()
		if diff := cmp.Diff(second.pem(), s.published().Data["ca.crt"]); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

func TestSyncAuthorityTellsWhatTheIssuerSays(t *testing.T) {
	s := newStage(t)
	s.kubewarden.Spec.Certificates.Provider = certManager
	s.now = time.Now()
	s.syncAuthority()
	s.answer("the issuer is on holiday")
	if progress := s.syncAuthority(); progress.After == 0 {
		t.Errorf("at first: %+v, want to look again when patience is over", progress)
	}
	s.now = s.now.Add(2 * time.Minute)
	progress := s.syncAuthority()
	want := "waiting for cert-manager to issue Certificate kubewarden/kubewarden-ca-cm, which is not ready after 1m0s: the issuer is on holiday"
	if progress.Message != want {
		t.Errorf("the message is %q, want %q", progress.Message, want)
	}
	condition := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
	if condition == nil || condition.Status != metav1.ConditionFalse || condition.Message != want {
		t.Errorf("the condition is %+v", condition)
	}
	if s.kubewarden.Status.CertificateProvider != "" {
		t.Errorf("provider %s is recorded, want none before one has issued", s.kubewarden.Status.CertificateProvider)
	}
}

// answer has cert-manager say something about the request for an authority.
func (s *stage) answer(message string) {
	s.t.Helper()
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.CertificateCA}
	if err := environment.Direct.Get(s.t.Context(), key, certificate); err != nil {
		s.t.Fatalf("get the Certificate: %v", err)
	}
	certificate.Status.Conditions = []certmanagerv1.CertificateCondition{{
		Type: certmanagerv1.CertificateConditionReady, Status: cmmetav1.ConditionFalse, Message: message,
	}}
	if err := environment.Direct.Status().Update(s.t.Context(), certificate); err != nil {
		s.t.Fatalf("update the status: %v", err)
	}
	err := wait.PollUntilContextTimeout(s.t.Context(), 10*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		cached := &certmanagerv1.Certificate{}
		err := environment.Cached.Get(ctx, key, cached)
		return err == nil && len(cached.Status.Conditions) > 0, nil
	})
	if err != nil {
		s.t.Fatalf("wait for the cache to show the status: %v", err)
	}
}

// serverStage is a stage with a PolicyServer.
type serverStage struct {
	*stage
	server *policiesv1.PolicyServer
}

func newServerStage(t *testing.T) *serverStage {
	t.Helper()
	s := &serverStage{stage: newStage(t), server: &policiesv1.PolicyServer{}}
	s.server.Name = "default"
	if err := environment.Direct.Create(t.Context(), s.server); err != nil {
		t.Fatalf("create the PolicyServer: %v", err)
	}
	return s
}

// replaceAuthority has another authority issued and published.
func (s *serverStage) replaceAuthority(ca authority) {
	s.t.Helper()
	s.syncAuthority()
	s.issueAuthority(ca)
	s.syncAuthority()
	s.published()
}

// issuePair has cert-manager answer the Certificate that sync applied.
func (s *serverStage) issuePair(pair certs.Pair) {
	s.t.Helper()
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: applytest.Namespace, Name: render.IssuedName(s.server.Name)}
	if err := environment.Direct.Get(s.t.Context(), key, certificate); err != nil {
		s.t.Fatalf("get the Certificate: %v", err)
	}
	s.issue(certificate.Spec.SecretName, pair, certificate.Spec.SecretTemplate.Labels)
}

func (s *serverStage) sync() certs.Progress {
	s.t.Helper()
	progress, err := s.certificates.SyncServer(s.t.Context(), s.server, s.kubewarden)
	if err != nil {
		s.t.Fatalf("sync the server: %v", err)
	}
	return progress
}

// presents waits until the mounted Secret has the pair.
func (s *serverStage) presents(want certs.Pair) *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.seen(secret, render.ServingSecretName(s.server.Name), func(cached *corev1.Secret) bool {
		return string(cached.Data["tls.crt"]) == string(want.Certificate) && string(cached.Data["tls.key"]) == string(want.Key)
	})
	return secret
}

// trust writes a webhook that calls the server and trusts the authorities.
func (s *serverStage) trust(bundle []byte) {
	s.t.Helper()
	policy := &policiesv1.ClusterAdmissionPolicy{}
	policy.Name = "guarded"
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations: []admissionregistrationv1.OperationType{"CREATE"}, APIGroups: []string{"example.com"},
		APIVersions: []string{"v1"}, Resources: []string{"things"},
	}}
	webhook, err := render.Webhook(render.WebhookInput{Config: s.config(), Installation: render.NewInstallation(s.kubewarden), Policy: policy, CABundle: bundle})
	if err != nil {
		s.t.Fatalf("render the webhook: %v", err)
	}
	if err := s.applier.Apply(s.t.Context(), nil, webhook); err != nil {
		s.t.Fatalf("apply the webhook: %v", err)
	}
	cached := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	err = wait.PollUntilContextTimeout(s.t.Context(), 10*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		err := environment.Cached.Get(ctx, client.ObjectKeyFromObject(webhook), cached)
		return err == nil && string(cached.Webhooks[0].ClientConfig.CABundle) == string(bundle), nil
	})
	if err != nil {
		s.t.Fatalf("wait for the cache to show the webhook: %v", err)
	}
}

func TestSyncServerPresentsTheFirstPairAtOnce(t *testing.T) {
	ca := newAuthority(t, "ca", noon.Add(9*year))
	s := newServerStage(t)
	s.replaceAuthority(ca)
	if progress := s.sync(); progress.Ready || progress.Reason != policiesv1.ReasonWaitingForCertificate {
		t.Errorf("before anything is issued: %+v, want to wait for the certificate", progress)
	}
	pair := ca.issue(t, dnsName, noon.Add(year))
	s.issuePair(pair)
	if progress := s.sync(); !progress.Ready || progress.Message != "" {
		t.Errorf("once it is issued: %+v, want it ready", progress)
	}
	secret := s.presents(pair)
	if secret.Type != corev1.SecretTypeOpaque || secret.Annotations[render.AnnotationCertFormat] != "1" {
		t.Errorf("the Secret has type %s and annotations %v", secret.Type, secret.Annotations)
	}
	issued := &corev1.Secret{}
	s.seen(issued, render.IssuedName("default"), func(cached *corev1.Secret) bool { return metav1.GetControllerOf(cached) != nil })
	for _, secret := range []*corev1.Secret{secret, issued} {
		if owner := metav1.GetControllerOf(secret); owner == nil || owner.UID != s.server.UID {
			t.Errorf("Secret %s is controlled by %v, want the PolicyServer", secret.Name, owner)
		}
	}

	t.Run("at rest it makes no request", func(t *testing.T) {
		environment.Requests.Take()
		s.sync()
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
	})
	t.Run("an edited pair is put right", func(t *testing.T) {
		secret.Data["tls.key"] = []byte("spoiled")
		if err := environment.Direct.Update(t.Context(), secret); err != nil {
			t.Fatalf("update: %v", err)
		}
		s.seen(secret, secret.Name, func(cached *corev1.Secret) bool { return string(cached.Data["tls.key"]) == "spoiled" })
		s.sync()
		s.presents(pair)
	})
}

func TestSyncServerPresentsTheNextPairOnceItIsTrusted(t *testing.T) {
	ca, next := newAuthority(t, "ca", noon.Add(9*year)), newAuthority(t, "next", noon.Add(9*year))
	s := newServerStage(t)
	s.replaceAuthority(ca)
	firstPair, nextPair := ca.issue(t, dnsName, noon.Add(year)), next.issue(t, dnsName, noon.Add(year))
	s.sync()
	s.issuePair(firstPair)
	s.sync()
	s.presents(firstPair)
	s.trust(ca.pem())
	s.replaceAuthority(next)
	s.issuePair(nextPair)

	if progress := s.sync(); !progress.Ready || progress.After == 0 || progress.Message == "" {
		t.Errorf("while a webhook does not trust the new pair: %+v, want to wait and say so", progress)
	}
	s.presents(firstPair)

	bundle, err := s.certificates.CABundle(t.Context())
	if err != nil {
		t.Fatalf("get the CA bundle: %v", err)
	}
	s.trust(bundle)
	s.now = time.Now() // the API server notes by this clock when the webhook was written
	if progress := s.sync(); progress.After == 0 {
		t.Errorf("right after the webhook was written: %+v, want to wait", progress)
	}
	s.presents(firstPair)
	s.now = time.Now().Add(11 * time.Second)
	s.sync()
	s.presents(nextPair)
}
