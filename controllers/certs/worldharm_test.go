//go:build !race

package certs_test

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// harm is what people, broken disks and long holidays do: it destroys what is in objects, and
// lets dates pass. What nobody could mend is excused, and nothing else: a certificate by its own
// date, or of an authority that nothing remembers any more; a client whose pair was destroyed, or
// the last memory of whom servers are to trust.
func (w *world) harm(t *testing.T) {
	t.Helper()
	if w.random.IntN(900) == 0 {
		const day = 24 * time.Hour
		w.now = w.now.Add([]time.Duration{250 * day, 400 * day, 7 * year, 11 * year}[w.random.IntN(4)])
		w.down = w.now.Add(time.Duration(w.random.IntN(60)) * time.Second)
	}
	if w.signer != nil && !w.signer.pair.Fits() && w.random.IntN(60) == 0 {
		w.signer = nil // as the condition asks for
	}
	if w.random.IntN(w.calm) != 0 {
		return
	}
	server, caller := w.servers[w.random.IntN(len(w.servers))], w.callers[w.random.IntN(len(w.callers))]
	switch w.random.IntN(8) {
	case 0:
		if w.signer != nil && w.random.IntN(2) == 0 {
			w.signer = &made{pair: w.spoilt(t, w.signer.pair), reason: w.signer.reason}
		} else {
			w.signer = nil
		}
	case 1:
		if w.next != nil && w.random.IntN(2) == 0 {
			w.next = &made{pair: w.spoilt(t, w.next.pair), reason: w.next.reason}
		} else {
			w.next = nil
		}
	case 2:
		w.losePublished()
	case 3:
		server.issued = w.spoilt(t, server.issued)
	case 4:
		if len(server.presented) > 0 {
			last := server.presented.last()
			spoilt := w.spoilt(t, certs.Pair{Certificate: last.text, Key: last.key})
			server.presented = append(server.presented, version{since: last.since, text: spoilt.Certificate, key: spoilt.Key})
		}
	case 5:
		caller.issued = w.spoilt(t, caller.issued)
	case 6:
		if len(caller.presented) > 0 {
			last := caller.presented.last()
			spoilt := w.spoilt(t, certs.Pair{Certificate: last.text, Key: last.key})
			caller.presented = append(caller.presented, version{since: last.since, text: spoilt.Certificate, key: spoilt.Key})
			caller.lost = true
		}
	case 7: // nothing, this time
	}
}

// destroy does something that destroys, and notes the authorities of which no trace is left: in no
// Secret and in no webhook. Replicas may go on for two minutes to present what these signed, also
// to a webhook that is made in that time.
func (w *world) destroy(something func()) {
	before := w.remembered()
	something()
	now := w.remembered()
	for authority := range before {
		if !now[authority] {
			w.forgotten = append(w.forgotten, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(authority)}))
		}
	}
}

// remembered are the authorities that are written down anywhere, in DER.
func (w *world) remembered() map[string]bool {
	texts := [][]byte{w.published.Current, w.published.Old}
	for _, one := range []*made{w.signer, w.next} {
		if one != nil {
			texts = append(texts, one.pair.Certificate)
		}
	}
	for _, webhook := range w.webhooks {
		texts = append(texts, webhook.bundles.last().text)
	}
	authorities := map[string]bool{}
	for _, text := range texts {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			authorities[string(block.Bytes)] = true
		}
	}
	return authorities
}

// signedByForgotten says whether an authority that was forgotten signed a chain.
func (w *world) signedByForgotten(chain []byte, usage x509.ExtKeyUsage) bool {
	return slices.ContainsFunc(w.forgotten, func(authority []byte) bool {
		return w.call(authority, chain, usage) == nil
	})
}

// spoilt is a pair after somebody was at it.
func (w *world) spoilt(t *testing.T, pair certs.Pair) certs.Pair {
	t.Helper()
	switch w.random.IntN(4) {
	case 0:
		return certs.Pair{}
	case 1:
		return certs.Pair{Certificate: []byte("garbage"), Key: pair.Key}
	case 2:
		return certs.Pair{Certificate: pair.Certificate}
	default:
		return certs.Pair{Certificate: pair.Certificate, Key: w.make(t).pair.Key}
	}
}

// losePublished destroys what says whom to trust. Webhooks remember it; where they do not
// remember the authority of a client, nobody does.
func (w *world) losePublished() {
	spoilt := certs.Published{}
	if w.random.IntN(2) == 0 {
		spoilt = certs.Published{Current: []byte("garbage"), Old: []byte("garbage"), ChangedAt: w.published.ChangedAt}
	}
	w.publish(spoilt)
	for _, caller := range w.callers {
		caller.lost = true
	}
}

// An installation comes to rest from whatever state, and no request of an API server is lost on
// the way there.
func TestFromAnyStateStepsLeadToRestWithoutALostRequest(t *testing.T) {
	liveMany(t, 24, 20, func(w *world) { w.harmful, w.calm = true, 25 })
}

// Without one of the rules for what is destroyed an API server is refused.
func TestEachRuleForWhatIsDestroyedIsNeeded(t *testing.T) {
	neededRules(t, map[string]func(*world){
		"a pair that was lost waits for webhooks": func(w *world) {
			w.harmful, w.calm = true, 25
			w.serverBlind = func(s *certs.ServerState) {
				if !s.Presented.Fits() {
					s.Trust = s.Trust[:1]
				}
			}
		},
		"what was published is found in webhooks": func(w *world) {
			w.harmful, w.forgetful = true, true
		},
		"what is destroyed is not given to webhooks": func(w *world) {
			w.harmful, w.credulous = true, true
		},
	})
}
