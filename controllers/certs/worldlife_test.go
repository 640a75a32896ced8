//go:build !race

package certs_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// live lets some twenty minutes of unrest pass, and then time enough to come to rest.
func (w *world) live(t *testing.T) (promotions int, err error) {
	t.Helper()
	before := w.signer
	for second := range 2700 {
		unrest := second < 1200
		if err := w.second(t, unrest); err != nil {
			return promotions, err
		}
		if w.signer != before {
			promotions, before = promotions+1, w.signer
		}
		if !unrest && w.rests() == nil {
			return promotions, nil
		}
	}
	return promotions, w.rests()
}

func TestAnotherAuthorityTakesOverWithoutALostRequest(t *testing.T) {
	liveMany(t, 16, 20, func(*world) {})
}

// liveMany lives in so many worlds, after a change to each, and expects that authorities took
// over at least so often in all: else that nothing was lost shows little.
func liveMany(t *testing.T, seeds uint64, least int64, change func(*world)) {
	t.Helper()
	var promotions atomic.Int64
	t.Run("worlds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, seed)
				change(w)
				taken, err := w.live(t)
				if err != nil {
					t.Error(err)
				}
				promotions.Add(int64(taken))
			})
		}
	})
	if taken := promotions.Load(); taken < least {
		t.Errorf("authorities took over %d times in all, want at least %d", taken, least)
	}
}

// What the plans are not shown they cannot heed. Each rule is needed: without it some request
// is lost.
func TestEachRuleOfTakingOverIsNeeded(t *testing.T) {
	trusted := func(trust []certs.Trust) []certs.Trust {
		for i := range trust {
			trust[i].Since = time.Time{}
		}
		return trust
	}
	neededRules(t, map[string]func(*world){
		"API servers are given time": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				s.Published.ChangedAt, s.Webhooks = time.Time{}, trusted(s.Webhooks)
			}
			w.serverBlind = func(s *certs.ServerState) { s.Trust = trusted(s.Trust) }
		},
		"webhooks are waited for": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) { s.Webhooks = nil }
			w.serverBlind = func(s *certs.ServerState) { s.Trust = s.Trust[:1] }
		},
		"old authorities are kept": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) { s.Chains = nil }
		},
		"replicas are asked what they present": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				for i := range s.Chains {
					s.Chains[i].Behind, s.Chains[i].Since = nil, time.Time{}
				}
			}
		},
		"replicas that start now may start with what was mounted": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				for i := range s.Chains {
					s.Chains[i].Since = time.Time{}
				}
			}
		},
	})
}

// neededRules expects that a request is lost without each of some rules.
func neededRules(t *testing.T, rules map[string]func(*world)) {
	t.Helper()
	for name, blind := range rules {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(40) {
				w := newWorld(t, seed)
				blind(w)
				if _, err := w.live(t); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("without the rule nothing is lost")
		})
	}
}
