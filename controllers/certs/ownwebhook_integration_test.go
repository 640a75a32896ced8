//go:build integration

package certs_test

import (
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

const decade = 10 * year

func (s *stage) syncOwnWebhook() certs.OwnWebhook {
	s.t.Helper()
	own, err := s.certificates.SyncOwnWebhook(s.t.Context())
	if err != nil {
		s.t.Fatalf("sync the own webhook: %v", err)
	}
	return own
}

// ownPair waits until the caches show a pair that the condition likes.
func (s *stage) ownPair(condition func(certificate []byte) bool) []byte {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.seen(secret, render.OwnWebhookPair, func(cached *corev1.Secret) bool { return condition(cached.Data["tls.crt"]) })
	return secret.Data["tls.crt"]
}

func TestOwnWebhookIsRenewed(t *testing.T) {
	s := newStage(t)
	own := s.syncOwnWebhook()
	first := s.ownPair(anything)
	if names := parse(t, first).DNSNames; len(names) != 1 || names[0] != "kubewarden-operator-webhook.kubewarden.svc" {
		t.Errorf("the pair is for %q", names)
	}
	if err := parse(t, first).CheckSignatureFrom(parse(t, own.CABundle)); err != nil {
		t.Errorf("the caBundle does not vouch for the pair: %v", err)
	}

	s.now = noon.Add(own.After + time.Second)
	again := s.syncOwnWebhook()
	if string(again.CABundle) != string(own.CABundle) {
		t.Error("the authority changed with the pair")
	}
	second := s.ownPair(func(certificate []byte) bool { return string(certificate) != string(first) })

	s.now = noon.Add(decade * 7 / 10)
	renewed := s.syncOwnWebhook()
	if string(renewed.CABundle) == string(own.CABundle) {
		t.Error("the authority is not renewed when two thirds of its life are over")
	}
	third := s.ownPair(func(certificate []byte) bool { return string(certificate) != string(second) })
	if err := parse(t, third).CheckSignatureFrom(parse(t, renewed.CABundle)); err != nil {
		t.Errorf("the new caBundle does not vouch for the new pair: %v", err)
	}
}

func TestTwoOperatorsMakeOneAuthorityOfTheirWebhooks(t *testing.T) {
	s := newStage(t)
	var group sync.WaitGroup
	bundles := make([]string, 8)
	for i := range bundles {
		racing := certs.NewCertificates(certs.Config{
			Client: environment.Cached, Uncached: environment.Uncached, Render: s.config(), Now: func() time.Time { return noon },
			Applier: apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached}),
		})
		group.Go(func() {
			own, err := racing.SyncOwnWebhook(t.Context())
			if err != nil {
				t.Errorf("sync the own webhook: %v", err)
			}
			bundles[i] = string(own.CABundle)
		})
	}
	group.Wait()
	for _, bundle := range bundles {
		if bundle != bundles[0] {
			t.Error("operators trust different authorities")
		}
	}
}
