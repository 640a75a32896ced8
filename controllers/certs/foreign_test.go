package certs_test

import (
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// intermediate returns an authority that another one vouches for.
func (a authority) intermediate(t *testing.T, end time.Time) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), NotBefore: noon.Add(-year), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, RawSubject: []byte{0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x04, 'n', 'e', 'x', 't'},
	}
	return authority{certificate: a.sign(t, template, key), key: key}
}

func TestAuthoritiesOfAnIssuer(t *testing.T) {
	root, other := newAuthority(t, "root", noon.Add(9*year)), newAuthority(t, "other", noon.Add(9*year))
	expired := newAuthority(t, "expired", noon.Add(-time.Hour))
	between := root.intermediate(t, noon.Add(5*year))
	pair := root.issue(t, dnsName, noon.Add(year))
	below := between.issue(t, dnsName, noon.Add(year))
	self := pair
	tests := map[string]struct {
		chain, told []byte
		want        []byte
	}{
		"the one that is told":            {chain: pair.Certificate, told: root.pem(), want: root.pem()},
		"of many that are told":           {chain: pair.Certificate, told: join(other.pem(), root.pem(), expired.pem()), want: root.pem()},
		"by an intermediate in the chain": {chain: join(below.Certificate, between.pem()), told: root.pem(), want: root.pem()},
		"by an intermediate that is told": {chain: below.Certificate, told: between.pem(), want: between.pem()},
		"none is told: the end of the chain, an intermediate": {
			chain: join(below.Certificate, between.pem()), want: between.pem(),
		},
		"none is told: the end of the chain, a root": {
			chain: join(below.Certificate, between.pem(), root.pem()), want: root.pem(),
		},
		"another one is told: the end of the chain": {
			chain: join(below.Certificate, between.pem()), told: other.pem(), want: between.pem(),
		},
		"none at all":               {chain: pair.Certificate},
		"it vouches for itself":     {chain: self.Certificate, told: self.Certificate},
		"the authority has expired": {chain: expired.issue(t, dnsName, noon.Add(year)).Certificate, told: expired.pem()},
		"nonsense is told":          {chain: pair.Certificate, told: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
		"nothing was issued":        {told: root.pem()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(string(tc.want), string(certs.Authorities(tc.chain, tc.told, noon))); diff != "" {
				t.Errorf("authorities (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanForeign(t *testing.T) {
	const day = 24 * time.Hour
	long, short := newAuthority(t, "long", noon.Add(9*year)), newAuthority(t, "short", noon.Add(89*day))
	ends := newAuthority(t, "ends", noon.Add(-day+12*time.Minute))
	issued := func(by authority) []byte { return by.issue(t, dnsName, noon.Add(year)).Certificate } // a day ago
	tests := map[string]struct {
		state certs.ForeignState
		want  certs.LeafPlan
	}{
		"nothing was issued":                      {want: certs.LeafPlan{Step: certs.StepNone}},
		"its authority lasts longer":              {state: certs.ForeignState{Chain: issued(long), Authorities: long.pem()}, want: certs.LeafPlan{Step: certs.StepNone}},
		"one of its authorities does":             {state: certs.ForeignState{Chain: issued(short), Authorities: join(short.pem(), long.pem())}, want: certs.LeafPlan{Step: certs.StepNone}},
		"nobody knows its authority":              {state: certs.ForeignState{Chain: issued(long)}, want: certs.LeafPlan{Step: certs.StepNone}},
		"its authority expires first, in a while": {state: certs.ForeignState{Chain: issued(short), Authorities: short.pem()}, want: certs.LeafPlan{Step: certs.StepNone, After: 59 * day}},
		"its authority expires first, soon": {
			state: certs.ForeignState{Now: noon.Add(59 * day), Chain: issued(short), Authorities: short.pem()},
			want:  certs.LeafPlan{Step: certs.StepIssue, Because: "the authority that signed it expires at " + noon.Add(89*day).Format(time.RFC3339) + ", before it"},
		},
		"somebody asks for another one": {
			state: certs.ForeignState{Chain: issued(long), Authorities: long.pem(), Asked: "monday"},
			want:  certs.LeafPlan{Step: certs.StepIssue, Because: `the annotation asks for it by "monday"`},
		},
		"this is the one that was asked for": {
			state: certs.ForeignState{Chain: issued(long), Authorities: long.pem(), Asked: "monday", MadeFor: "monday"},
			want:  certs.LeafPlan{Step: certs.StepNone},
		},
		"it was issued by an authority at its end: not again and again": {
			state: certs.ForeignState{Now: noon.Add(-day + 9*time.Minute), Chain: issued(ends), Authorities: ends.pem()},
			want:  certs.LeafPlan{Step: certs.StepNone, After: time.Minute},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.state.Now.IsZero() {
				tc.state.Now = noon
			}
			if diff := cmp.Diff(tc.want, certs.PlanForeign(tc.state)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
