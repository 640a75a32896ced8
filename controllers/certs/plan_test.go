package certs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

func TestPlanAuthority(t *testing.T) {
	first := newAuthority(t, "first", noon.Add(9*year))
	second := newAuthority(t, "second", noon.Add(10*year))
	third := newAuthority(t, "third", noon.Add(10*year))
	expired := newAuthority(t, "expired", noon)
	leaf := first.issue(t, dnsName, noon.Add(year))
	request := certs.Request{Name: "cert-manager to issue Certificate kubewarden/kubewarden-ca-cm", Since: noon.Add(-time.Minute), Message: "issuer not found"}
	fresh := certs.Request{Name: request.Name, Since: noon.Add(-15 * time.Second)}
	publish := func(current, old []byte) certs.AuthorityPlan {
		return certs.AuthorityPlan{Step: certs.StepPublish, Publish: certs.Published{Current: current, Old: old, ChangedAt: noon}}
	}
	tests := map[string]struct {
		request   certs.Request
		issued    []byte
		published certs.Published
		want      certs.AuthorityPlan
	}{
		"nothing asked for yet": {
			request: certs.Request{Name: "cert-manager to issue Certificate a/b"},
			want:    certs.AuthorityPlan{Step: certs.StepWait, Message: "waiting for cert-manager to issue Certificate a/b"},
		},
		"asked for a moment ago": {
			request: fresh,
			want: certs.AuthorityPlan{
				Step: certs.StepWait, After: 45 * time.Second,
				Message: "waiting for cert-manager to issue Certificate kubewarden/kubewarden-ca-cm",
			},
		},
		"asked for a minute ago: the issuer's own words": {
			request: request,
			want: certs.AuthorityPlan{
				Step:    certs.StepWait,
				Message: "waiting for cert-manager to issue Certificate kubewarden/kubewarden-ca-cm, which is not ready after 1m0s: issuer not found",
			},
		},
		"something is in the way, however long one waits": {
			request: certs.Request{Name: request.Name, Since: request.Since, Message: "no", Obstacle: "install it"},
			want:    certs.AuthorityPlan{Step: certs.StepWait, Message: "install it"},
		},
		"what was issued is no authority": {
			request: fresh, issued: leaf.Certificate,
			want: certs.AuthorityPlan{
				Step: certs.StepWait, After: 45 * time.Second,
				Message: "waiting for cert-manager to issue Certificate kubewarden/kubewarden-ca-cm",
			},
		},
		"issued for the first time": {
			issued: first.pem(), want: publish(first.pem(), nil),
		},
		"published: nothing to do until it expires": {
			issued: first.pem(), published: certs.Published{Current: first.pem(), ChangedAt: noon.Add(-year)},
			want: certs.AuthorityPlan{Step: certs.StepNone, After: 9 * year},
		},
		"another one: both are trusted": {
			issued: second.pem(), published: certs.Published{Current: first.pem()},
			want: publish(second.pem(), first.pem()),
		},
		"yet another one: all three are trusted": {
			issued: third.pem(), published: certs.Published{Current: second.pem(), Old: first.pem()},
			want: publish(third.pem(), join(second.pem(), first.pem())),
		},
		"the old one is back: neither is lost": {
			issued: first.pem(), published: certs.Published{Current: second.pem(), Old: first.pem()},
			want: publish(first.pem(), second.pem()),
		},
		"the old one has expired": {
			issued: second.pem(), published: certs.Published{Current: second.pem(), Old: expired.pem()},
			want: publish(second.pem(), nil),
		},
		"somebody spoiled what was published": {
			issued: second.pem(), published: certs.Published{Current: []byte("nonsense")},
			want: publish(second.pem(), nil),
		},
		"published, and the issuer lost its Secret": {
			request: request, published: certs.Published{Current: first.pem()},
			want: certs.AuthorityPlan{
				Step:    certs.StepWait,
				Message: "waiting for cert-manager to issue Certificate kubewarden/kubewarden-ca-cm, which is not ready after 1m0s: issuer not found",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			state := certs.AuthorityState{Now: noon, Request: tc.request, Issued: tc.issued, Published: tc.published}
			if diff := cmp.Diff(tc.want, certs.PlanAuthority(state), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanServer(t *testing.T) {
	ca, other := newAuthority(t, "ca", noon.Add(9*year)), newAuthority(t, "other", noon.Add(9*year))
	oldPair, newPair := ca.issue(t, dnsName, noon.Add(year)), ca.issue(t, dnsName, noon.Add(2*year))
	foreign := other.issue(t, dnsName, noon.Add(year))
	expired := ca.issue(t, dnsName, noon)
	misnamed := ca.issue(t, "somebody.else.svc", noon.Add(year))
	mixed := certs.Pair{Certificate: oldPair.Certificate, Key: newPair.Key}
	request := certs.Request{Name: "cert-manager to issue Certificate a/b", Since: noon.Add(-time.Hour), Message: "no such issuer"}

	trusting := func(name string, since time.Duration, authorities ...authority) certs.Trust {
		trust := certs.Trust{Name: name, Since: noon.Add(-since)}
		for _, authority := range authorities {
			trust.CABundle = append(trust.CABundle, authority.pem()...)
		}
		return trust
	}
	tests := map[string]struct {
		issued, presented certs.Pair
		trust             []certs.Trust
		want              certs.ServerPlan
		wantMessage       string // a part of it
	}{
		"nothing issued": {
			want: certs.ServerPlan{Step: certs.StepWait}, wantMessage: "not ready after 1m0s: no such issuer",
		},
		"nothing presented: at once, trusted or not": {
			issued: newPair, want: certs.ServerPlan{Step: certs.StepPresent, Presentable: true},
		},
		"the presented one has expired: at once": {
			issued: newPair, presented: expired, want: certs.ServerPlan{Step: certs.StepPresent, Presentable: true},
		},
		"the presented pair does not fit together: at once": {
			issued: newPair, presented: mixed, want: certs.ServerPlan{Step: certs.StepPresent, Presentable: true},
		},
		"the issued one is presented": {
			issued: newPair, presented: newPair, want: certs.ServerPlan{Step: certs.StepNone, Presentable: true},
		},
		"the issued one has expired": {
			issued: expired, presented: oldPair,
			want: certs.ServerPlan{Step: certs.StepWait, Presentable: true}, wantMessage: "waiting for cert-manager",
		},
		"the issued one is for another name": {
			issued: misnamed, want: certs.ServerPlan{Step: certs.StepWait}, wantMessage: "waiting for cert-manager",
		},
		"the issued pair does not fit together, and neither does the presented": {
			issued: mixed, presented: mixed, want: certs.ServerPlan{Step: certs.StepWait}, wantMessage: "waiting for cert-manager",
		},
		"renewed under the same authority, long trusted": {
			issued: newPair, presented: oldPair, trust: []certs.Trust{trusting("Secret kubewarden-ca", time.Hour, ca)},
			want: certs.ServerPlan{Step: certs.StepPresent, Presentable: true},
		},
		"a new authority that a webhook does not trust yet": {
			issued: foreign, presented: oldPair,
			trust: []certs.Trust{trusting("Secret kubewarden-ca", time.Hour, other, ca), trusting("webhook one", time.Hour, other, ca), trusting("webhook two", time.Hour, ca)},
			want:  certs.ServerPlan{Step: certs.StepWait, Presentable: true, After: 5 * time.Second}, wantMessage: "waiting for webhook two to trust",
		},
		"a new authority that is trusted, but not for long": {
			issued: foreign, presented: oldPair,
			trust: []certs.Trust{trusting("Secret kubewarden-ca", time.Hour, other, ca), trusting("webhook one", 4*time.Second, other, ca)},
			want:  certs.ServerPlan{Step: certs.StepWait, Presentable: true, After: 6 * time.Second}, wantMessage: "until webhook one has been trusted",
		},
		"a new authority that is trusted for long enough": {
			issued: foreign, presented: oldPair,
			trust: []certs.Trust{trusting("Secret kubewarden-ca", 10*time.Second, other, ca), trusting("webhook one", 10*time.Second, ca, other)},
			want:  certs.ServerPlan{Step: certs.StepPresent, Presentable: true},
		},
		"nobody is told to trust anything": {
			issued: foreign, presented: oldPair, trust: []certs.Trust{trusting("Secret kubewarden-ca", time.Hour)},
			want: certs.ServerPlan{Step: certs.StepWait, Presentable: true, After: 5 * time.Second}, wantMessage: "waiting for Secret kubewarden-ca to trust",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := certs.PlanServer(certs.ServerState{
				Now: noon, Request: request, DNSName: dnsName, Issued: tc.issued, Presented: tc.presented, Trust: tc.trust,
			})
			if !strings.Contains(got.Message, tc.wantMessage) {
				t.Errorf("the message is %q, want one with %q", got.Message, tc.wantMessage)
			}
			if tc.wantMessage == "" && got.Message != "" {
				t.Errorf("the message is %q, want none", got.Message)
			}
			got.Message = ""
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// An issuer may change its authority and the pair in one write. At no moment may a server
// present what the webhook that calls it does not trust.
func TestAuthorityAndPairChangeAtOnce(t *testing.T) {
	before, after := newAuthority(t, "before", noon.Add(9*year)), newAuthority(t, "after", noon.Add(9*year))
	published := certs.Published{Current: before.pem(), ChangedAt: noon.Add(-time.Hour)}
	webhook := certs.Trust{Name: "webhook", CABundle: published.Bundle(), Since: noon.Add(-time.Hour)}
	presented := before.issue(t, dnsName, noon.Add(year))
	issued := after.issue(t, dnsName, noon.Add(year))

	var steps []certs.Step
	changed := -1
	for second := range 30 {
		now := noon.Add(time.Duration(second) * time.Second)
		if plan := certs.PlanAuthority(certs.AuthorityState{Now: now, Issued: after.pem(), Published: published}); plan.Step == certs.StepPublish {
			published = plan.Publish
			steps = append(steps, plan.Step)
		}
		if second == 3 { // the webhook is written later than the Secret
			webhook.CABundle, webhook.Since = published.Bundle(), now
		}
		plan := certs.PlanServer(certs.ServerState{
			Now: now, DNSName: dnsName, Issued: issued, Presented: presented,
			Trust: []certs.Trust{{Name: "Secret", CABundle: published.Bundle(), Since: published.ChangedAt}, webhook},
		})
		if plan.Step == certs.StepPresent {
			presented, changed = issued, second
			steps = append(steps, plan.Step)
		}
	}
	if diff := cmp.Diff([]certs.Step{certs.StepPublish, certs.StepPresent}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if changed != 13 {
		t.Errorf("the new pair was presented after %d s, want 13: ten after the webhook trusts it", changed)
	}
}
