package certs_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

const clientURI = "urn:example:client"

func issueClient(t *testing.T, authority certs.Pair, uri string) certs.Pair {
	t.Helper()
	pair, err := certs.Issue(authority, certs.Claim{URI: uri}, noon)
	if err != nil {
		t.Fatalf("issue a pair: %v", err)
	}
	return pair
}

func TestIssueToAClient(t *testing.T) {
	authority := newBuiltIn(t, noon)
	certificate := parse(t, issueClient(t, authority, clientURI).Certificate)
	if len(certificate.URIs) != 1 || certificate.URIs[0].String() != clientURI || len(certificate.DNSNames) != 0 {
		t.Errorf("got names %v and %v, want the URI alone", certificate.URIs, certificate.DNSNames)
	}
	if diff := cmp.Diff([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, certificate.ExtKeyUsage); diff != "" {
		t.Errorf("it is more than a client's certificate (-want +got):\n%s", diff)
	}
	if _, err := certs.Issue(authority, certs.Claim{URI: ":"}, noon); err == nil {
		t.Error("got no error for what is no URI")
	}
}

func TestPlanLeafOfAClient(t *testing.T) {
	authority := newBuiltIn(t, noon)
	for name, tc := range map[string]struct {
		issued      certs.Pair
		wantStep    certs.Step
		wantBecause string
	}{
		"just signed":          {issueClient(t, authority, clientURI), certs.StepNone, ""},
		"for another URI":      {issueClient(t, authority, clientURI+"s"), certs.StepIssue, "not for " + clientURI},
		"for a server":         {issue(t, authority, dnsName, noon), certs.StepIssue, "not for " + clientURI},
		"by another authority": {issueClient(t, newBuiltIn(t, noon), clientURI), certs.StepIssue, "another authority"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := certs.PlanLeaf(certs.LeafState{Now: noon, Claim: certs.Claim{URI: clientURI}, Authority: authority.Certificate, Issued: tc.issued})
			if plan.Step != tc.wantStep || !strings.Contains(plan.Because, tc.wantBecause) {
				t.Errorf("got %+v, want %s because of %q", plan, tc.wantStep, tc.wantBecause)
			}
		})
	}
}
