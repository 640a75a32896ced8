//go:build !race

package certs_test

import (
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// harm is what people, broken disks and long holidays do: it destroys what is in objects, and
// lets dates pass. What nobody could mend is excused, and nothing else: a certificate by its own
// date; a client whose pair was destroyed, or the last memory of whom servers are to trust.
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
	if w.random.IntN(120) != 0 {
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
	promotions := 0
	for seed := range uint64(6) {
		w := newWorld(t, seed)
		w.harmful = true
		taken, err := w.live(t)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		promotions += taken
	}
	if promotions < 4 {
		t.Errorf("authorities took over %d times in all: that shows little", promotions)
	}
}

// Without one of the rules for what is destroyed an API server is refused.
func TestEachRuleForWhatIsDestroyedIsNeeded(t *testing.T) {
	neededRules(t, map[string]func(*world){
		"what was published is found in webhooks": func(w *world) {
			w.harmful, w.forgetful = true, true
		},
		"what is destroyed is not given to webhooks": func(w *world) {
			w.harmful, w.credulous = true, true
		},
	})
}
