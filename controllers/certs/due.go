package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// DueState is what decides whether another authority has to take over.
type DueState struct {
	Now time.Time
	// Authority is the one that signs.
	Authority Pair
	// Asked is the value by which somebody asks for another one, and MadeFor what it was when
	// this one was made; empty where there was none.
	Asked, MadeFor string
	// Terms are what it is to be like; zero for what holds where nothing is said.
	Terms render.CertificateTerms
}

// terms are those that hold.
func (s DueState) terms() render.CertificateTerms {
	if s.Terms == (render.CertificateTerms{}) {
		return render.DefaultTerms().Authority
	}
	return s.Terms
}

// Due says why another authority has to take over, or else how long none has to. The error
// says why the one that signs is none; of one that has merely expired it is not.
func Due(state DueState) (because string, in time.Duration, err error) {
	loaded, err := tls.X509KeyPair(state.Authority.Certificate, state.Authority.Key)
	if err != nil {
		return "", 0, fmt.Errorf("read the pair: %w", err)
	}
	if !loaded.Leaf.IsCA {
		return "", 0, errors.New("the certificate is not that of an authority")
	}
	terms := state.terms()
	rest := renewal(loaded.Leaf, terms).Sub(state.Now)
	switch {
	case !state.Now.Before(loaded.Leaf.NotAfter):
		return fmt.Sprintf("the one before expired at %s", loaded.Leaf.NotAfter.UTC().Format(time.RFC3339)), 0, nil
	case rest <= 0:
		return "two thirds of the life of the one before are over", 0, nil
	case state.Asked != "" && state.Asked != state.MadeFor:
		return askedFor(state.Asked), 0, nil
	case keyOf(loaded.Leaf) != terms.Key:
		return otherKey(terms.Key, keyOf(loaded.Leaf)), 0, nil
	case !lastsAs(loaded.Leaf, terms):
		return otherDuration(terms.Duration, life(loaded.Leaf)), 0, nil
	default:
		return "", rest, nil
	}
}

// askedFor says who wants another authority.
func askedFor(value string) string { return fmt.Sprintf("the annotation asks for it by %q", value) }

// otherKey and otherDuration say what of the spec the authority before does not fit.
func otherKey(wanted, is render.KeyTerms) string {
	return fmt.Sprintf("spec.certificates.caPrivateKey asks for %s, and the one before has %s", wanted, is)
}

func otherDuration(wanted, is time.Duration) string {
	return fmt.Sprintf("spec.certificates.caDuration asks for %s, and the one before is valid for %s", wanted, is)
}
