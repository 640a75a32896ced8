//go:build !race

package certs_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// caller is a client of policy servers in the world. One that is mounted finds its pair as Pods
// do, and reads it again now and then; the other one reads from caches.
type caller struct {
	claim     certs.Claim
	mounted   bool
	issued    certs.Pair
	presented versions

	found, uses []byte
	looks       time.Time // when its kubelet looks next
	reads       time.Time // when it reads next
	// lost says that it has nothing to lose: it had no pair, its pair expired or was destroyed,
	// or the memory of whom servers trust was. It is over once every server trusts its pair.
	lost bool
}

func newCallers() []*caller {
	return []*caller{
		{claim: certs.Claim{URI: contract.OperatorIdentity}},
		{claim: certs.Claim{URI: contract.AuditScannerIdentity}, mounted: true},
	}
}

func (c *caller) name() string { return c.claim.URI }

func (c *caller) chain() certs.Chain {
	last := c.presented.last()
	return certs.Chain{Name: c.name(), Claim: c.claim, Certificate: last.text, Since: certs.InUseSince(last.since)}
}

// presentClient takes the next step with the pair of a caller.
func (w *world) presentClient(c *caller) error {
	last := c.presented.last()
	state := certs.ClientState{
		Now: w.now, Claim: c.claim, Issued: c.issued, Presented: certs.Pair{Certificate: last.text, Key: last.key}, Published: w.published,
	}
	for _, server := range w.servers {
		state.Behind = append(state.Behind, certs.Distrusting(w.published.Bundle(), server.reports())...)
	}
	if w.clientBlind != nil {
		w.clientBlind(&state)
	}
	if certs.PlanClient(state).Step == certs.StepPresent {
		c.lost = c.lost || !last.fits() || expired(last.text, w.now)
		c.presented = append(c.presented, version{since: w.now, text: c.issued.Certificate, key: c.issued.Key})
	}
	return nil
}

// callersRead lets callers find, and use, what is presented.
func (w *world) callersRead() {
	for _, c := range w.callers {
		if len(c.presented) == 0 {
			continue
		}
		switch {
		case !c.mounted:
			c.take(c.presented.at(w.now.Add(-time.Duration(w.random.Int64N(int64(2 * time.Second))))))
			c.uses = c.found
			continue
		case !w.now.Before(c.looks):
			c.take(c.presented.at(w.now.Add(-time.Duration(w.random.Int64N(int64(kubeletCache))))))
			c.looks = w.now.Add(time.Duration(w.random.Int64N(int64(kubeletEvery))))
		}
		if !w.now.Before(c.reads) {
			c.uses, c.reads = c.found, w.now.Add(time.Duration(w.random.Int64N(int64(10*time.Second))))
		}
		if w.random.IntN(300) == 0 { // another scan, whose Pod starts with the oldest that it may find
			if oldest := c.presented.at(w.now.Add(-kubeletEvery - kubeletCache)); oldest.fits() {
				c.uses = oldest.text
			}
		}
	}
}

// take leaves what was found before where somebody spoiled what is there.
func (c *caller) take(found version) {
	if found.fits() {
		c.found = found.text
	}
}

// lookAtCallers is every server, whichever and however late, that is called by each caller.
func (w *world) lookAtCallers() error {
	for _, c := range w.callers {
		if c.uses == nil || expired(c.uses, w.now) {
			continue
		}
		refused := w.refuses(c)
		if refused != nil && !c.lost && !w.signedByForgotten(c.uses, x509.ExtKeyUsageClientAuth) {
			return refused
		}
		trusted := refused == nil
		settled := w.now.Sub(w.published.ChangedAt) >= kubeletEvery+kubeletCache // so that new Pods trust it, too
		if trusted && settled && bytes.Equal(c.uses, c.presented.last().text) && w.vouches(c.uses) {
			c.lost = false
		}
	}
	return nil
}

// fingerprint is contract.AuthoritiesFingerprint, each computed once.
func (w *world) fingerprint(text []byte) string {
	known, ok := w.fingerprints[string(text)]
	if !ok {
		known = contract.AuthoritiesFingerprint(text)
		w.fingerprints[string(text)] = known
	}
	return known
}

// vouches says whether what is published vouches for what a client presents.
func (w *world) vouches(chain []byte) bool {
	return w.call(w.published.Bundle(), chain, x509.ExtKeyUsageClientAuth) == nil
}

// refuses is nil where every replica lets a caller in.
func (w *world) refuses(c *caller) error {
	for _, server := range w.servers {
		for _, pod := range server.pods {
			if pod.terminating || pod.mounted == nil || w.fingerprint(pod.trusts) == "" {
				continue // it answers nobody, or somebody took what it would know clients by
			}
			if err := w.call(pod.trusts, c.uses, x509.ExtKeyUsageClientAuth); err != nil {
				return fmt.Errorf("after %s %s calls %s: %w", w.now.Sub(noon), c.name(), pod.name, err)
			}
		}
	}
	return nil
}

// expired says that a chain is of no use any more to anybody, by its own date.
func expired(chain []byte, now time.Time) bool {
	leaf, err := leafOf(chain)
	return err == nil && !now.Before(leaf.NotAfter)
}

// fits says whether a version is a pair.
func (v version) fits() bool {
	return certs.Pair{Certificate: v.text, Key: v.key}.Fits()
}

// Without one of the rules for clients a server refuses one of them.
func TestEachRuleForClientsIsNeeded(t *testing.T) {
	neededRules(t, map[string]func(*world){
		"replicas that start now may trust whom those before trusted": func(w *world) {
			w.clientBlind = func(s *certs.ClientState) { s.Published.ChangedAt = time.Time{} }
		},
		"what clients present counts when an authority goes": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) { s.Chains = s.Chains[len(w.callers):] }
		},
		"clients may use what they found before": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				for i := range w.callers {
					s.Chains[i].Since = time.Time{}
				}
			}
		},
	})
}
