package certs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

func TestDue(t *testing.T) {
	authority := newBuiltIn(t, noon)
	leaf := issue(t, authority, dnsName, noon)
	tests := map[string]struct {
		state   certs.DueState
		because string // a part of it
		in      time.Duration
		wrong   string
	}{
		"a new one, and nobody asks": {
			state: certs.DueState{Now: noon, Authority: authority}, in: 2433 * 24 * time.Hour,
		},
		"two thirds of its life are over": {
			state: certs.DueState{Now: noon.Add(7 * year), Authority: authority}, because: "two thirds",
		},
		"it has expired": {
			state: certs.DueState{Now: noon.Add(11 * year), Authority: authority}, because: "expired at",
		},
		"somebody asks for another one": {
			state: certs.DueState{Now: noon, Authority: authority, Asked: "monday"}, because: `asks for it by "monday"`,
		},
		"somebody asks again": {
			state: certs.DueState{Now: noon, Authority: authority, Asked: "tuesday", MadeFor: "monday"}, because: `asks for it by "tuesday"`,
		},
		"this is the one that was asked for": {
			state: certs.DueState{Now: noon, Authority: authority, Asked: "monday", MadeFor: "monday"}, in: 2433 * 24 * time.Hour,
		},
		"nobody asks any more": {
			state: certs.DueState{Now: noon, Authority: authority, MadeFor: "monday"}, in: 2433 * 24 * time.Hour,
		},
		"it has no key": {
			state: certs.DueState{Now: noon, Authority: certs.Pair{Certificate: authority.Certificate}, Asked: "monday"}, wrong: "read the pair",
		},
		"it is none": {
			state: certs.DueState{Now: noon, Authority: leaf, Asked: "monday"}, wrong: "not that of an authority",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			because, in, err := certs.Due(tc.state)
			if (err != nil) != (tc.wrong != "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
				t.Fatalf("got the error %v, want one with %q", err, tc.wrong)
			}
			if (because != "") != (tc.because != "") || !strings.Contains(because, tc.because) {
				t.Errorf("it is due because %q, want %q", because, tc.because)
			}
			if in.Truncate(24*time.Hour) != tc.in {
				t.Errorf("it is due in %s, want about %s", in, tc.in)
			}
		})
	}
}
