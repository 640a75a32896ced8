package certs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

func newBuiltIn(t *testing.T, now time.Time) certs.Pair {
	t.Helper()
	pair, err := certs.NewAuthority("test", now)
	if err != nil {
		t.Fatalf("make an authority: %v", err)
	}
	return pair
}

func issue(t *testing.T, authority certs.Pair, name string, now time.Time) certs.Pair {
	t.Helper()
	pair, err := certs.Issue(authority, certs.Claim{DNSName: name}, now)
	if err != nil {
		t.Fatalf("issue a pair: %v", err)
	}
	return pair
}

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%q holds no PEM", text)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatalf("parse the certificate: %v", err)
	}
	return certificate
}

// verify does what an API server does before it sends a request.
func verify(t *testing.T, caBundle, chain []byte, now time.Time) error {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caBundle) {
		t.Fatalf("%q holds no certificate", caBundle)
	}
	_, err := parse(t, chain).Verify(x509.VerifyOptions{DNSName: dnsName, Roots: roots, CurrentTime: now})
	return err
}

func TestAuthority(t *testing.T) {
	certificate := parse(t, newBuiltIn(t, noon).Certificate)
	if !certificate.IsCA || certificate.PublicKeyAlgorithm != x509.ECDSA || certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("it is no ECDSA authority: %+v", certificate)
	}
	if got, want := certificate.NotAfter, noon.Add(10*year); !got.Equal(want) {
		t.Errorf("it ends at %s, want %s", got, want)
	}
	if other := parse(t, newBuiltIn(t, noon).Certificate); other.SerialNumber.Cmp(certificate.SerialNumber) == 0 {
		t.Error("two authorities have one serial number")
	}
}

func TestIssue(t *testing.T) {
	authority := newBuiltIn(t, noon)
	first, second := issue(t, authority, dnsName, noon), issue(t, authority, dnsName, noon)
	if bytes.Equal(first.Key, second.Key) {
		t.Error("two pairs have one key")
	}
	certificate := parse(t, first.Certificate)
	if diff := cmp.Diff([]string{dnsName}, certificate.DNSNames); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, certificate.ExtKeyUsage); diff != "" || certificate.IsCA {
		t.Errorf("it is more than a server's certificate: %+v", certificate)
	}
	if got, want := certificate.NotAfter, noon.Add(year); !got.Equal(want) {
		t.Errorf("it ends at %s, want %s", got, want)
	}
	for name, when := range map[string]time.Time{"at once": noon, "by a clock that is late": noon.Add(-time.Minute), "to the last": noon.Add(year - time.Second)} {
		if err := verify(t, authority.Certificate, first.Certificate, when); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(t, newBuiltIn(t, noon).Certificate, first.Certificate, noon); err == nil {
		t.Error("another authority vouches for it")
	}
}

func TestIssueEndsWithItsAuthority(t *testing.T) {
	authority := newBuiltIn(t, noon)
	late := noon.Add(10*year - 24*time.Hour)
	if got, want := parse(t, issue(t, authority, dnsName, late).Certificate).NotAfter, noon.Add(10*year); !got.Equal(want) {
		t.Errorf("it ends at %s, want with the authority at %s", got, want)
	}
	for name, authority := range map[string]certs.Pair{
		"an expired authority": newBuiltIn(t, noon.Add(-10*year)),
		"no authority":         issue(t, authority, dnsName, noon),
		"nothing":              {},
	} {
		if _, err := certs.Issue(authority, certs.Claim{DNSName: dnsName}, noon); err == nil {
			t.Errorf("%s signs", name)
		}
	}
}

func TestPlanLeaf(t *testing.T) {
	authority := newBuiltIn(t, noon.Add(-year))
	aged := func(age time.Duration) certs.Pair { return issue(t, authority, dnsName, noon.Add(-age)) }
	const life = year + 5*time.Minute // pairs begin five minutes early
	tests := map[string]struct {
		issued      certs.Pair
		want        certs.LeafPlan
		wantBecause string // a part of it
	}{
		"nothing is signed yet": {want: certs.LeafPlan{Step: certs.StepIssue}, wantBecause: "there is no certificate"},
		"just signed": {
			issued: aged(0), want: certs.LeafPlan{Step: certs.StepNone, After: life*2/3 - 5*time.Minute},
		},
		"a second before two thirds of its life": {
			issued: aged(life*2/3 - 5*time.Minute - time.Second), want: certs.LeafPlan{Step: certs.StepNone, After: time.Second},
		},
		"two thirds of its life are over": {
			issued: aged(life*2/3 - 5*time.Minute), want: certs.LeafPlan{Step: certs.StepIssue}, wantBecause: "two thirds",
		},
		"expired": {issued: aged(year), want: certs.LeafPlan{Step: certs.StepIssue}, wantBecause: "valid from"},
		"for another name": {
			issued: issue(t, authority, "else.svc", noon), want: certs.LeafPlan{Step: certs.StepIssue}, wantBecause: "else.svc",
		},
		"by another authority": {
			issued: issue(t, newBuiltIn(t, noon), dnsName, noon), want: certs.LeafPlan{Step: certs.StepIssue}, wantBecause: "another authority",
		},
		"the pair does not fit together": {
			issued: certs.Pair{Certificate: aged(0).Certificate, Key: aged(0).Key}, want: certs.LeafPlan{Step: certs.StepIssue}, wantBecause: "read the pair",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := certs.PlanLeaf(certs.LeafState{Now: noon, Claim: certs.Claim{DNSName: dnsName}, Authority: authority.Certificate, Issued: tc.issued})
			if !strings.Contains(got.Because, tc.wantBecause) || tc.wantBecause == "" && got.Because != "" {
				t.Errorf("because is %q, want one with %q", got.Because, tc.wantBecause)
			}
			got.Because = ""
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
