package certs_test

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

var scanner = certs.Claim{URI: contract.AuditScannerIdentity}

// issueFor returns a pair that proves the claim of a client.
func (a authority) issueFor(t *testing.T, claim certs.Claim, end time.Time) certs.Pair {
	t.Helper()
	name, err := url.Parse(claim.URI)
	if err != nil {
		t.Fatal(err)
	}
	return a.complete(t, &x509.Certificate{URIs: []*url.URL{name}, NotAfter: end, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func TestPlanClient(t *testing.T) {
	ca, other := newAuthority(t, "ca", noon.Add(9*year)), newAuthority(t, "other", noon.Add(9*year))
	client := func(by authority) certs.Pair { return by.issueFor(t, scanner, noon.Add(year)) }
	before, after, foreign := client(ca), client(ca), client(other)
	published := func(since time.Duration, authorities ...authority) certs.Published {
		published := certs.Published{ChangedAt: noon.Add(-since)}
		for _, authority := range authorities {
			published.Old = append(published.Old, authority.pem()...)
		}
		return published
	}
	wait := func(after time.Duration) certs.ServerPlan {
		return certs.ServerPlan{Step: certs.StepWait, Presentable: true, After: after}
	}
	present := certs.ServerPlan{Step: certs.StepPresent, Presentable: true}
	tests := map[string]struct {
		issued, presented certs.Pair
		published         certs.Published
		behind            []string
		want              certs.ServerPlan
		wantMessage       string
	}{
		"nothing issued":                      {want: certs.ServerPlan{Step: certs.StepWait}, wantMessage: "waiting for cert-manager"},
		"nothing presented: at once":          {issued: after, want: present},
		"another's is presented: at once":     {issued: after, presented: ca.issue(t, dnsName, noon.Add(year)), want: present},
		"the presented has expired: at once":  {issued: after, presented: ca.issueFor(t, scanner, noon), want: present},
		"the issued is a server's":            {issued: ca.issue(t, dnsName, noon.Add(year)), presented: before, want: wait(0), wantMessage: "waiting for cert-manager"},
		"the issued is presented":             {issued: after, presented: after, want: certs.ServerPlan{Step: certs.StepNone, Presentable: true}},
		"renewed under the same authority":    {issued: after, presented: before, published: published(time.Hour, ca), want: present},
		"its authority is not published":      {issued: foreign, presented: before, published: published(time.Hour, ca), want: wait(5 * time.Second), wantMessage: "to publish the authority"},
		"it is, and replicas do not trust it": {issued: foreign, presented: before, published: published(time.Hour, ca, other), behind: []string{"Pod a", "Pod b"}, want: wait(5 * time.Second), wantMessage: "waiting for Pod a and 1 more to trust"},
		"they do, and new ones may not":       {issued: foreign, presented: before, published: published(90*time.Second, ca, other), want: wait(30 * time.Second), wantMessage: "published for 2m0s"},
		"everybody does":                      {issued: foreign, presented: before, published: published(2*time.Minute, ca, other), want: present},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := certs.PlanClient(certs.ClientState{
				Now: noon, Request: certs.Request{Name: "cert-manager"}, Claim: scanner,
				Issued: tc.issued, Presented: tc.presented, Published: tc.published, Behind: tc.behind,
			})
			if !strings.Contains(got.Message, tc.wantMessage) || tc.wantMessage == "" && got.Message != "" {
				t.Errorf("the message is %q, want one with %q", got.Message, tc.wantMessage)
			}
			got.Message = ""
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplicasTrustWhatTheyReport(t *testing.T) {
	one, two := newAuthority(t, "one", noon.Add(year)), newAuthority(t, "two", noon.Add(year))
	both, alone := contract.AuthoritiesFingerprint(one.pem(), two.pem()), contract.AuthoritiesFingerprint(one.pem())
	set := replicas.Set{
		{Name: "a", Report: &contract.Report{OwnClientCA: both}},
		{Name: "b", Report: &contract.Report{OwnClientCA: alone}},
		{Name: "c", Report: &contract.Report{}},
		{Name: "d"},
		{Name: "e", Terminating: true},
		{Name: "f", Silent: true, Report: &contract.Report{}},
	}
	// The order in which they are published is none of a replica's business.
	got := certs.Distrusting(append(two.pem(), one.pem()...), set)
	if diff := cmp.Diff([]string{"Pod b", "Pod c", "Pod d"}, got); diff != "" {
		t.Errorf("not known to trust (-want +got):\n%s", diff)
	}
}
