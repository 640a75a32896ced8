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
	hold := func(after time.Duration, message string) certs.AuthorityPlan {
		return certs.AuthorityPlan{Step: certs.StepHold, After: after, Message: message}
	}
	trusting := func(name string, since time.Duration, authorities ...authority) certs.Trust {
		trust := certs.Trust{Name: name, Since: noon.Add(-since)}
		for _, authority := range authorities {
			trust.CABundle = append(trust.CABundle, authority.pem()...)
		}
		return trust
	}
	presenting := func(pair certs.Pair, since time.Duration, behind ...string) certs.Chain {
		return certs.Chain{
			Name: "PolicyServer default", Claim: certs.Claim{DNSName: dnsName}, Certificate: pair.Certificate,
			Since: noon.Add(-since), Behind: behind,
		}
	}
	ofSecond := second.issue(t, dnsName, noon.Add(year))
	both := func(since time.Duration) certs.Published {
		return certs.Published{Current: second.pem(), Old: first.pem(), ChangedAt: noon.Add(-since)}
	}
	announced := func(since time.Duration) certs.Published {
		return certs.Published{Current: first.pem(), Old: second.pem(), ChangedAt: noon.Add(-since)}
	}
	tests := map[string]struct {
		request      certs.Request
		issued, next []byte
		awaited      bool
		due          string
		dueIn        time.Duration
		published    certs.Published
		webhooks     []certs.Trust
		chains       []certs.Chain
		want         certs.AuthorityPlan
	}{
		"nothing is due for a while": {
			issued: first.pem(), dueIn: year, published: certs.Published{Current: first.pem()},
			want: certs.AuthorityPlan{Step: certs.StepNone, After: year},
		},
		"another one is due": {
			issued: first.pem(), due: "it is old", published: certs.Published{Current: first.pem()},
			want: certs.AuthorityPlan{Step: certs.StepPrepare, Message: "it is old"},
		},
		"another one is due before the first is published": {
			issued: first.pem(), due: "it is old", want: publish(first.pem(), nil),
		},
		"the next one was asked for": {
			request: fresh, issued: first.pem(), awaited: true, published: certs.Published{Current: first.pem()},
			want: hold(45*time.Second, "waiting for cert-manager to issue Certificate kubewarden/kubewarden-ca-cm"),
		},
		"the next one was made: it is published after the one that signs": {
			issued: first.pem(), next: second.pem(), due: "it is old", published: certs.Published{Current: first.pem(), Old: third.pem()},
			want: publish(first.pem(), join(second.pem(), third.pem())),
		},
		"a webhook does not trust the next one yet": {
			issued: first.pem(), next: second.pem(), due: "it is old", published: announced(time.Hour),
			webhooks: []certs.Trust{trusting("webhook one", time.Hour, second, first), trusting("webhook two", time.Hour, first)},
			want:     hold(5*time.Second, "the next authority is published: waiting for webhook two to trust it"),
		},
		"a webhook does, but not for long": {
			issued: first.pem(), next: second.pem(), published: announced(time.Hour),
			webhooks: []certs.Trust{trusting("webhook one", 4*time.Second, second, first)},
			want:     hold(6*time.Second, "the next authority is published: waiting until webhook one has been trusted for 10s"),
		},
		"no webhook, and it was published a moment ago": {
			issued: first.pem(), next: second.pem(), published: announced(3 * time.Second),
			want: hold(7*time.Second, "the next authority is published: waiting until Secret kubewarden-ca has been trusted for 10s"),
		},
		"everybody has trusted the next one for a while": {
			issued: first.pem(), next: second.pem(), due: "it is old", published: announced(10 * time.Second),
			webhooks: []certs.Trust{trusting("webhook one", 10*time.Second, first, second)},
			want:     certs.AuthorityPlan{Step: certs.StepPromote},
		},
		"the next one signs": {
			issued: second.pem(), next: second.pem(), published: announced(time.Minute), want: publish(second.pem(), first.pem()),
		},
		"a server has a certificate of the one before": {
			issued: second.pem(), published: both(time.Hour), chains: []certs.Chain{presenting(leaf, time.Hour)},
			want: hold(5*time.Second, "the authority before stays trusted: waiting for PolicyServer default to be given a certificate of the authority that signs now"),
		},
		"replicas do not present the new one": {
			issued: second.pem(), published: both(time.Hour), chains: []certs.Chain{presenting(ofSecond, time.Hour, "Pod a", "Pod b", "Pod c")},
			want: hold(5*time.Second, "the authority before stays trusted: waiting for Pod a and 2 more to present the certificate of PolicyServer default"),
		},
		"a server has no certificate, and a replica": {
			issued: second.pem(), published: both(time.Hour), chains: []certs.Chain{presenting(certs.Pair{}, time.Hour, "Pod a")},
			want: hold(5*time.Second, "the authority before stays trusted: waiting for Pod a to present the certificate of PolicyServer default"),
		},
		"replicas that start now may find what was mounted before": {
			issued: second.pem(), published: both(time.Hour), chains: []certs.Chain{presenting(ofSecond, time.Minute)},
			want: hold(time.Minute, "the authority before stays trusted: waiting until the certificate of PolicyServer default has been mounted for 2m0s"),
		},
		"nobody presents anything else": {
			issued: second.pem(), published: both(time.Hour), chains: []certs.Chain{presenting(ofSecond, 2*time.Minute), presenting(certs.Pair{}, time.Hour)},
			want: publish(second.pem(), nil),
		},
		"somebody asks for yet another one meanwhile": {
			issued: second.pem(), due: "somebody asks for it", published: both(time.Hour), chains: []certs.Chain{presenting(leaf, time.Hour)},
			want: certs.AuthorityPlan{Step: certs.StepPrepare, Message: "somebody asks for it"},
		},
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
		"two sign: both are trusted": {
			issued: join(second.pem(), first.pem()), published: certs.Published{Current: first.pem()},
			want: publish(join(second.pem(), first.pem()), nil),
		},
		"two sign in the place of a third: all three are trusted": {
			issued: join(second.pem(), first.pem()), published: certs.Published{Current: third.pem()},
			want: publish(join(second.pem(), first.pem()), third.pem()),
		},
		"two sign, and all that is presented is of either": {
			issued: join(second.pem(), first.pem()), published: certs.Published{Current: join(second.pem(), first.pem()), Old: third.pem()},
			chains: []certs.Chain{presenting(leaf, time.Hour), presenting(ofSecond, time.Hour)},
			want:   publish(join(second.pem(), first.pem()), nil),
		},
		"one of two signs no more, and somebody has a certificate of it": {
			issued: second.pem(), published: certs.Published{Current: second.pem(), Old: first.pem()}, chains: []certs.Chain{presenting(leaf, time.Hour)},
			want: hold(5*time.Second, "the authority before stays trusted: waiting for PolicyServer default to be given a certificate of the authority that signs now"),
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
			state := certs.AuthorityState{
				Now: noon, Request: tc.request, Issued: tc.issued, Next: tc.next, Awaited: tc.awaited, Due: tc.due, DueIn: tc.dueIn,
				Published: tc.published, Webhooks: tc.webhooks, Chains: tc.chains,
			}
			if diff := cmp.Diff(tc.want, certs.PlanAuthority(state), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(certs.AuthorityPlan{}, "Stage")); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// The stages are told in the order in which they are gone through, and never one twice.
func TestStagesOfTakingOver(t *testing.T) {
	before, after := newAuthority(t, "before", noon.Add(9*year)), newAuthority(t, "after", noon.Add(9*year))
	chain := func(by authority, since time.Duration, behind ...string) []certs.Chain {
		return []certs.Chain{{
			Name: "PolicyServer default", Claim: certs.Claim{DNSName: dnsName}, Since: noon.Add(-since), Behind: behind,
			Certificate: by.issue(t, dnsName, noon.Add(year)).Certificate,
		}}
	}
	one := certs.Published{Current: before.pem()}
	announced := certs.Published{Current: before.pem(), Old: after.pem(), ChangedAt: noon.Add(-time.Hour)}
	both := certs.Published{Current: after.pem(), Old: before.pem(), ChangedAt: noon.Add(-time.Hour)}
	webhook := func(trusted ...byte) []certs.Trust { return []certs.Trust{{Name: "webhook", CABundle: trusted}} }
	states := []certs.AuthorityState{
		{Issued: before.pem(), Published: one},
		{Issued: before.pem(), Published: one, Due: "somebody asks for it"},
		{Issued: before.pem(), Published: one, Awaited: true},
		{Issued: before.pem(), Published: one, Next: after.pem()},
		{Issued: before.pem(), Published: announced, Next: after.pem(), Webhooks: webhook(before.pem()...)},
		{Issued: before.pem(), Published: announced, Next: after.pem(), Webhooks: webhook(join(before.pem(), after.pem())...)},
		{Issued: after.pem(), Published: announced},
		{Issued: after.pem(), Published: both, Chains: chain(before, time.Hour)},
		{Issued: after.pem(), Published: both, Chains: chain(after, time.Hour, "Pod a")},
		{Issued: after.pem(), Published: both, Chains: chain(after, time.Minute)},
		{Issued: after.pem(), Published: both, Chains: chain(after, time.Hour)},
		{Issued: after.pem(), Published: certs.Published{Current: after.pem()}},
	}
	got := make([]int, 0, len(states))
	for _, state := range states {
		state.Now = noon
		got = append(got, certs.PlanAuthority(state).Stage)
	}
	if diff := cmp.Diff([]int{0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 0, 0}, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
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
		"nothing presented, and nobody calls: as soon as its authority is published": {
			issued: newPair, trust: []certs.Trust{trusting("Secret kubewarden-ca", 0, ca)},
			want: certs.ServerPlan{Step: certs.StepPresent, Presentable: true},
		},
		"nothing presented, and another authority is published, which a webhook that comes would trust": {
			issued: foreign, trust: []certs.Trust{trusting("Secret kubewarden-ca", time.Hour, ca)},
			want: certs.ServerPlan{Step: certs.StepWait, After: 5 * time.Second}, wantMessage: "waiting for Secret kubewarden-ca to trust",
		},
		"nothing presented, and a webhook does not trust its authority yet": {
			issued: foreign,
			trust:  []certs.Trust{trusting("Secret kubewarden-ca", time.Hour, other, ca), trusting("webhook one", time.Hour, ca)},
			want:   certs.ServerPlan{Step: certs.StepWait, After: 5 * time.Second}, wantMessage: "waiting for webhook one to trust",
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
	changed, presentedAt := -1, noon.Add(-time.Hour)
	for second := range 30 {
		now := noon.Add(time.Duration(second) * time.Second)
		chain := certs.Chain{Name: "server", Claim: certs.Claim{DNSName: dnsName}, Certificate: presented.Certificate, Since: presentedAt}
		if plan := certs.PlanAuthority(certs.AuthorityState{
			Now: now, Issued: after.pem(), Published: published, Webhooks: []certs.Trust{webhook}, Chains: []certs.Chain{chain},
		}); plan.Step == certs.StepPublish {
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
			presented, changed, presentedAt = issued, second, now
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
