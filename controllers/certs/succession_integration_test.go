//go:build integration

package certs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// replica makes a Pod of the server, which reports nothing yet.
func (s *serverStage) replica(name string) {
	s.t.Helper()
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "policy-server-default", Image: "registry.example.com/server:1"}}}}
	pod.Name, pod.Namespace, pod.Labels = name, applytest.Namespace, render.PolicyServerLabels(s.server.Name)
	reports := &corev1.ConfigMap{}
	reports.Name, reports.Namespace = contract.ReportConfigMapName(s.server.Name), applytest.Namespace
	for _, object := range []client.Object{pod, reports} {
		if err := environment.Direct.Create(s.t.Context(), object); err != nil {
			s.t.Fatalf("create %T: %v", object, err)
		}
		s.t.Cleanup(func() {
			if err := environment.Direct.Delete(context.Background(), object, client.GracePeriodSeconds(0)); err != nil {
				s.t.Errorf("delete %T: %v", object, err)
			}
		})
		s.cached(object, func() bool { return true })
	}
}

// reports has a replica say that it presents a chain, and whom it trusts to sign for the operator.
func (s *serverStage) reports(replica string, chain []byte, trusted ...[]byte) {
	s.t.Helper()
	encoded, err := json.Marshal(contract.Report{
		StartTime: time.Now().UTC().Format(time.RFC3339Nano), ServingCertificate: fingerprintOf(chain),
		OwnClientCA: contract.AuthoritiesFingerprint(trusted...),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	reports := &corev1.ConfigMap{Data: map[string]string{replica: string(encoded)}}
	reports.Name, reports.Namespace = contract.ReportConfigMapName(s.server.Name), applytest.Namespace
	patch, err := json.Marshal(map[string]any{"data": reports.Data})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := environment.Direct.Patch(s.t.Context(), reports, client.RawPatch(types.MergePatchType, patch)); err != nil {
		s.t.Fatalf("write the report: %v", err)
	}
	cached := &corev1.ConfigMap{}
	cached.Name, cached.Namespace = reports.Name, reports.Namespace
	s.cached(cached, func() bool { return cached.Data[replica] == string(encoded) })
}

// cached waits until the caches show an object as it should be.
func (s *serverStage) cached(object client.Object, condition func() bool) {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 10*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := environment.Cached.Get(ctx, client.ObjectKeyFromObject(object), object)
		return err == nil && condition(), client.IgnoreNotFound(err)
	})
	if err != nil {
		s.t.Fatalf("wait for the cache to show %T %s: %v", object, object.GetName(), err)
	}
}

// restart is another process of the operator, which knows what the API server knows.
func (s *serverStage) restart() {
	s.applier = apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached})
	s.certificates = s.withoutCertManager()
}

// trusts waits until the caches show what is published.
func (s *stage) trusts(current, old []byte) {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.seen(secret, render.SecretCA, func(cached *corev1.Secret) bool {
		return bytes.Equal(cached.Data["ca.crt"], current) && bytes.Equal(cached.Data["old-ca.crt"], old)
	})
}

// Each step is taken by a process of its own: all that it knows is in the objects.
func TestAnotherAuthorityTakesOverStepByStep(t *testing.T) {
	s := newServerStage(t)
	s.restart()
	s.kubewarden.Annotations = map[string]string{operatorv1alpha1.AnnotationRekey: "before it was made"}
	s.syncAuthority()
	before := s.authority().Data["tls.crt"]
	s.trusts(before, nil)
	s.sync()
	s.syncClients()
	first := s.presented(anything)
	s.replica("replica-a")
	s.reports("replica-a", first, before)
	s.trust(before)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Issued", "")

	s.kubewarden.Annotations[operatorv1alpha1.AnnotationRekey] = "monday"
	s.restart()
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", `another authority takes over`)
	made := &corev1.Secret{}
	s.seen(made, render.BuiltInCANext, func(cached *corev1.Secret) bool { return len(cached.Data) == 2 })
	next := made.Data["tls.crt"]

	s.restart()
	s.syncAuthority()
	s.trusts(before, next)
	s.restart()
	s.now = time.Now().Add(time.Minute)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", `(the annotation asks for it by "monday"), step 2 of 4: the next authority is published: waiting for ValidatingWebhookConfiguration`)
	s.sync()
	if string(s.presented(anything)) != string(first) || string(s.authority().Data["tls.crt"]) != string(before) {
		t.Fatal("the next authority signs before a webhook trusts it")
	}

	s.trust(join(before, next))
	s.restart()
	s.now = time.Now()
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "has been trusted for 10s")
	s.restart()
	s.now = time.Now().Add(11 * time.Second)
	s.syncAuthority()
	s.seen(&corev1.Secret{}, render.BuiltInCA, func(cached *corev1.Secret) bool { return bytes.Equal(cached.Data["tls.crt"], next) })
	s.restart()
	s.syncAuthority()
	s.gone(render.BuiltInCANext)
	s.trusts(next, before)

	s.restart()
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "waiting for the operator to be given a certificate")
	s.now = s.now.Add(2 * time.Minute)
	s.syncClients()
	s.seen(&corev1.Secret{}, render.OperatorClient, func(cached *corev1.Secret) bool {
		return verifyClient(t, next, cached.Data["tls.crt"], s.now) == nil
	})
	if err := verifyClient(t, before, s.operatorSecret(anything).Data["tls.crt"], s.now); err != nil {
		t.Errorf("the operator presents another certificate before a replica trusts it: %v", err)
	}
	s.reports("replica-a", first, next, before)
	s.restart()
	s.syncClients()
	s.operatorSecret(func(certificate []byte) bool { return verifyClient(t, next, certificate, s.now) == nil })
	s.seen(&corev1.Secret{}, render.ScannerAsClient().Presented, func(cached *corev1.Secret) bool {
		return verifyClient(t, next, cached.Data["tls.crt"], s.now) == nil
	})
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Rekeying", "waiting for PolicyServer default to be given a certificate")
	s.sync()
	s.sync()
	second := s.presented(func(certificate []byte) bool { return !bytes.Equal(certificate, first) })
	if err := verify(t, next, second, s.now); err != nil {
		t.Errorf("the new pair: %v", err)
	}

	s.restart()
	s.now = s.now.Add(time.Hour)
	if progress := s.syncAuthority(); progress.After == 0 {
		t.Errorf("%+v, want to look again: nothing tells of a report", progress)
	}
	s.condition(metav1.ConditionTrue, "Rekeying", "waiting for Pod replica-a to present the certificate of PolicyServer default")
	if rekeying := s.kubewarden.Status.Rekeying; rekeying == nil || rekeying.Step != 4 || !strings.Contains(rekeying.WaitingFor, "Pod replica-a") {
		t.Errorf("the status tells %+v, want step 4 and the Pod", rekeying)
	}
	s.trusts(next, before)
	s.reports("replica-a", second, next, before)
	s.restart()
	s.syncAuthority()
	s.trusts(next, nil)
	s.syncAuthority()
	s.condition(metav1.ConditionTrue, "Issued", "because cert-manager is not installed")

	t.Run("and once for each value", func(t *testing.T) {
		s.restart()
		s.syncAuthority()
		environment.Requests.Take()
		s.syncAuthority()
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
	})
}

func TestExpiredAuthorityIsFollowedByAnother(t *testing.T) {
	s := newServerStage(t)
	s.restart()
	s.syncAuthority()
	before := s.authority().Data["tls.crt"]
	s.trusts(before, nil)
	for _, age := range []time.Duration{7 * year, 30 * year} {
		s.now = noon.Add(age)
		s.syncAuthority()
		made := &corev1.Secret{}
		s.seen(made, render.BuiltInCANext, func(cached *corev1.Secret) bool { return len(cached.Data) == 2 })
		next := made.Data["tls.crt"]
		for range 3 { // publish, wait, promote
			s.syncAuthority()
			s.published()
			s.now = s.now.Add(11 * time.Second)
		}
		s.seen(&corev1.Secret{}, render.BuiltInCA, func(cached *corev1.Secret) bool { return bytes.Equal(cached.Data["tls.crt"], next) })
		s.syncAuthority()
		s.gone(render.BuiltInCANext)
		s.published()
		s.syncAuthority()
		s.trusts(next, nil)
		if bytes.Equal(next, before) {
			t.Error("it is the same authority")
		}
		before = next
	}
}

func TestTwoOperatorsMakeOneNextAuthority(t *testing.T) {
	s := newServerStage(t)
	s.restart()
	s.syncAuthority()
	s.trusts(s.authority().Data["tls.crt"], nil)
	s.kubewarden.Annotations = map[string]string{operatorv1alpha1.AnnotationRekey: "now"}
	const processes = 3
	made := make([]string, 0, processes)
	for i := range processes {
		s.restart()
		if i == 0 {
			s.syncAuthority()
		}
		secret := &corev1.Secret{}
		s.seen(secret, render.BuiltInCANext, func(cached *corev1.Secret) bool { return len(cached.Data) == 2 })
		made = append(made, fmt.Sprintf("%x", secret.Data["tls.key"]))
		s.syncAuthority()
	}
	if made[0] != made[1] || made[1] != made[2] {
		t.Error("the next authority was made anew by another process")
	}
}

// verifyClient does what a policy server does when the operator calls.
func verifyClient(t *testing.T, authority, chain []byte, now time.Time) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	_, err := parse(t, chain).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}
