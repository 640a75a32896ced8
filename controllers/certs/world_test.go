package certs_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// How late others may be in the world.
const (
	kubeletEvery = 60 * time.Second // between two looks of a kubelet at a Pod's mounts
	kubeletCache = 60 * time.Second // the age of what it looks into
	apiServerLag = 5 * time.Second  // between a write of a caBundle and API servers that use it
)

// world is a cluster in which everything is late by some random time, and the operator
// crashes between any two of its writes. Objects are what is left over then.
type world struct {
	random *rand.Rand
	now    time.Time

	// wanted is the value of the annotation that asks for another authority; the ones that
	// authorities were made for are written to them.
	wanted         int
	signer, next   *made
	published      certs.Published
	webhooks       []*webhook
	servers        []*server
	down           time.Time // the operator does nothing before
	verdicts       map[string]error
	names          int
	pace           [4]int // how many seconds a write of each kind takes, about
	authorityBlind func(*certs.AuthorityState)
	serverBlind    func(*certs.ServerState)
}

type made struct {
	pair   certs.Pair
	reason int
}

// webhook calls one server.
type webhook struct {
	server  *server
	bundles versions
}

type server struct {
	name      string
	issued    certs.Pair
	presented versions
	pods      []*pod
}

type pod struct {
	name        string
	mounted     []byte
	watched     bool      // the kubelet watches the Secret, and is told at once
	looks       time.Time // when it looks next
	report      string
	terminating bool
}

// versions is what an object held, and since when; the last is what it holds.
type versions []version

type version struct {
	since time.Time
	text  []byte
	key   []byte
}

func (v versions) last() version {
	if len(v) == 0 {
		return version{}
	}
	return v[len(v)-1]
}

// at is what the object held at a moment; the first version when it was made later.
func (v versions) at(moment time.Time) version {
	for i, version := range slices.Backward(v) {
		if !version.since.After(moment) || i == 0 {
			return version
		}
	}
	return version{}
}

// between is what the object held at any moment of a time.
func (v versions) between(from, to time.Time) [][]byte {
	var texts [][]byte
	for i, version := range v {
		if !version.since.After(to) && (i+1 == len(v) || v[i+1].since.After(from)) {
			texts = append(texts, version.text)
		}
	}
	return texts
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), now: noon, verdicts: map[string]error{}}
	w.signer = w.make(t)
	for i := range w.pace {
		w.pace[i] = []int{1, 3, 40}[w.random.IntN(3)]
	}
	for range 1 + w.random.IntN(2) {
		w.names++
		w.servers = append(w.servers, &server{name: fmt.Sprintf("server-%d", w.names)})
	}
	return w
}

func (w *world) make(t *testing.T) *made {
	t.Helper()
	pair, err := certs.NewAuthority("test", w.now)
	if err != nil {
		t.Fatal(err)
	}
	return &made{pair: pair, reason: w.wanted}
}

// second lets a second pass. While there is unrest, people and schedulers do things.
func (w *world) second(t *testing.T, unrest bool) error {
	t.Helper()
	w.now = w.now.Add(time.Second)
	if unrest {
		w.trouble()
	}
	if !w.now.Before(w.down) {
		for _, write := range w.operator(t) {
			if err := write(); err != nil {
				return err
			}
			if unrest && w.random.IntN(400) == 0 { // it crashes after any of its writes
				w.down = w.now.Add(time.Duration(w.random.IntN(240)) * time.Second)
				break
			}
		}
	}
	w.replicas()
	return w.look()
}

// trouble is what others do.
func (w *world) trouble() {
	if w.random.IntN(400) == 0 {
		w.wanted++
	}
	server := w.servers[w.random.IntN(len(w.servers))]
	if len(server.presented) > 0 && w.random.IntN(40) == 0 && len(server.pods) < 5 {
		w.names++
		server.pods = append(server.pods, &pod{name: fmt.Sprintf("pod-%d", w.names), watched: w.random.IntN(2) == 0})
	}
	if len(server.pods) > 0 && w.random.IntN(50) == 0 {
		one := server.pods[w.random.IntN(len(server.pods))]
		if one.terminating {
			server.pods = slices.DeleteFunc(server.pods, func(other *pod) bool { return other == one })
		}
		one.terminating = true
	}
	if len(server.presented) > 0 && w.random.IntN(200) == 0 && len(w.webhooks) < 4 {
		created := version{since: w.now, text: w.published.Bundle()}
		w.webhooks = append(w.webhooks, &webhook{server: server, bundles: versions{created}})
	}
}

// operator are the writes of the operator in this second, each of which is planned from what
// there is when its turn comes.
func (w *world) operator(t *testing.T) []func() error {
	t.Helper()
	var writes []func() error
	add := func(kind int, write func() error) {
		if w.random.IntN(w.pace[kind]) == 0 {
			writes = append(writes, write)
		}
	}
	add(0, func() error { return w.syncAuthority(t) })
	for _, server := range w.servers {
		add(1, func() error { return w.issue(server) })
		add(2, func() error { return w.present(server) })
	}
	for _, webhook := range w.webhooks {
		add(3, func() error {
			if bundle := w.published.Bundle(); !bytes.Equal(bundle, webhook.bundles.last().text) {
				webhook.bundles = append(webhook.bundles, version{since: w.now, text: bundle})
			}
			return nil
		})
	}
	return writes
}

func (w *world) trust(server *server) []certs.Trust {
	var trust []certs.Trust
	for i, webhook := range w.webhooks {
		if server == nil || webhook.server == server {
			last := webhook.bundles.last()
			trust = append(trust, certs.Trust{Name: fmt.Sprintf("webhook %d", i), CABundle: last.text, Since: last.since})
		}
	}
	return trust
}

func (w *world) authorityState() certs.AuthorityState {
	state := certs.AuthorityState{Now: w.now, Issued: w.signer.pair.Certificate, Published: w.published, Webhooks: w.trust(nil)}
	if w.next != nil {
		state.Next = w.next.pair.Certificate
	}
	if w.signer.reason != w.wanted {
		state.Due = "somebody asks for it"
	}
	for _, server := range w.servers {
		last := server.presented.last()
		state.Chains = append(state.Chains, certs.Chain{
			Name: server.name, Claim: certs.Claim{DNSName: dnsName}, Certificate: last.text, Since: last.since,
			Behind: certs.Behind(last.text, server.reports()),
		})
	}
	if w.authorityBlind != nil {
		w.authorityBlind(&state)
	}
	return state
}

func (s *server) reports() replicas.Set {
	set := make(replicas.Set, 0, len(s.pods))
	for _, pod := range s.pods {
		replica := replicas.Replica{Name: pod.name, Terminating: pod.terminating}
		if pod.report != "" {
			replica.Report = &contract.Report{ServingCertificate: pod.report}
		}
		set = append(set, replica)
	}
	return set
}

// syncAuthority makes one write at most, as the built-in provider does.
func (w *world) syncAuthority(t *testing.T) error {
	t.Helper()
	if w.next != nil && bytes.Equal(w.next.pair.Certificate, w.signer.pair.Certificate) {
		w.next = nil
		return nil
	}
	switch plan := certs.PlanAuthority(w.authorityState()); plan.Step {
	case certs.StepPublish:
		w.published = plan.Publish
	case certs.StepPrepare:
		w.next = w.make(t)
	case certs.StepPromote:
		w.signer = w.next
	case certs.StepNone, certs.StepHold:
	default:
		return fmt.Errorf("the plan for the authority is %+v", plan)
	}
	return nil
}

func (w *world) issue(server *server) error {
	claim := certs.Claim{DNSName: dnsName}
	plan := certs.PlanLeaf(certs.LeafState{Now: w.now, Claim: claim, Authority: w.signer.pair.Certificate, Issued: server.issued})
	if plan.Step != certs.StepIssue {
		return nil
	}
	var err error
	server.issued, err = certs.Issue(w.signer.pair, claim, w.now)
	return err
}

func (w *world) present(server *server) error {
	last := server.presented.last()
	state := certs.ServerState{
		Now: w.now, DNSName: dnsName, Issued: server.issued, Presented: certs.Pair{Certificate: last.text, Key: last.key},
		Trust: append([]certs.Trust{{Name: "Secret", CABundle: w.published.Bundle(), Since: w.published.ChangedAt}}, w.trust(server)...),
	}
	if w.serverBlind != nil {
		w.serverBlind(&state)
	}
	if certs.PlanServer(state).Step == certs.StepPresent {
		server.presented = append(server.presented, version{since: w.now, text: server.issued.Certificate, key: server.issued.Key})
	}
	return nil
}

// replicas lets kubelets look, and replicas report.
func (w *world) replicas() {
	for _, server := range w.servers {
		for _, pod := range server.pods {
			if pod.watched {
				pod.mounted = server.presented.last().text
			} else if !w.now.Before(pod.looks) {
				seen := server.presented.at(w.now.Add(-time.Duration(w.random.Int64N(int64(kubeletCache)))))
				if pod.mounted == nil { // it may start with the oldest that a kubelet may show
					seen = server.presented.at(w.now.Add(-kubeletEvery - kubeletCache))
				}
				if !w.older(server, seen.text, pod.mounted) {
					pod.mounted = seen.text
				}
				pod.looks = w.now.Add(time.Duration(w.random.Int64N(int64(kubeletEvery))))
			}
			if w.random.IntN(10) == 0 {
				pod.report = fingerprintOf(pod.mounted)
			}
		}
	}
}

// older says whether a text was presented before another one.
func (w *world) older(server *server, text, than []byte) bool {
	index := func(text []byte) int {
		return slices.IndexFunc(server.presented, func(version version) bool { return bytes.Equal(version.text, text) })
	}
	return index(text) < index(than)
}

// look is an API server, whichever and however late, that calls each replica for each webhook.
func (w *world) look() error {
	for i, webhook := range w.webhooks {
		for _, bundle := range webhook.bundles.between(w.now.Add(-apiServerLag), w.now) {
			for _, pod := range webhook.server.pods {
				if pod.terminating || pod.mounted == nil {
					continue
				}
				if err := w.call(bundle, pod.mounted); err != nil {
					return fmt.Errorf("after %s %s is called for webhook %d: %w", w.now.Sub(noon), pod.name, i, err)
				}
			}
		}
	}
	return nil
}

func (w *world) call(bundle, chain []byte) error {
	key := string(bundle) + string(chain)
	if verdict, ok := w.verdicts[key]; ok {
		return verdict
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	leaf, err := leafOf(chain)
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{DNSName: dnsName, Roots: roots, CurrentTime: w.now})
	}
	w.verdicts[key] = err
	return err
}

func leafOf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil, fmt.Errorf("%q holds no PEM", chain)
	}
	return x509.ParseCertificate(block.Bytes)
}

func fingerprintOf(chain []byte) string {
	leaf, err := leafOf(chain)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(leaf.Raw)
	return hex.EncodeToString(sum[:])
}

// rests says what is still under way; nothing when all is as it should be.
func (w *world) rests() error {
	if w.next != nil || w.signer.reason != w.wanted || len(w.published.Old) > 0 ||
		!bytes.Equal(w.published.Current, w.signer.pair.Certificate) {
		return fmt.Errorf("the authority: signs for %d of %d, next %v, %d bytes of old ones: %s",
			w.signer.reason, w.wanted, w.next != nil, len(w.published.Old), certs.PlanAuthority(w.authorityState()).Message)
	}
	for _, webhook := range w.webhooks {
		if !bytes.Equal(webhook.bundles.last().text, w.published.Current) {
			return fmt.Errorf("a webhook of %s trusts others than the authority that signs", webhook.server.name)
		}
	}
	for _, server := range w.servers {
		for _, pod := range server.pods {
			if err := w.call(w.published.Current, pod.mounted); err != nil {
				return fmt.Errorf("%s presents the certificate of another authority: %w", pod.name, err)
			}
		}
	}
	return nil
}

// live lets some twenty minutes of unrest pass, and then time enough to come to rest.
func (w *world) live(t *testing.T) (promotions int, err error) {
	t.Helper()
	before := w.signer
	for second := range 2700 {
		unrest := second < 1200
		if err := w.second(t, unrest); err != nil {
			return promotions, err
		}
		if w.signer != before {
			promotions, before = promotions+1, w.signer
		}
		if !unrest && w.rests() == nil {
			return promotions, nil
		}
	}
	return promotions, w.rests()
}

func TestAnotherAuthorityTakesOverWithoutALostRequest(t *testing.T) {
	promotions := 0
	for seed := range uint64(16) {
		taken, err := newWorld(t, seed).live(t)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		promotions += taken
	}
	if promotions < 20 {
		t.Errorf("authorities took over %d times in all: that shows little", promotions)
	}
}

// What the plans are not shown they cannot heed. Each rule is needed: without it some request
// is lost.
func TestEachRuleOfTakingOverIsNeeded(t *testing.T) {
	trusted := func(trust []certs.Trust) []certs.Trust {
		for i := range trust {
			trust[i].Since = time.Time{}
		}
		return trust
	}
	tests := map[string]func(*world){
		"API servers are given time": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				s.Published.ChangedAt, s.Webhooks = time.Time{}, trusted(s.Webhooks)
			}
			w.serverBlind = func(s *certs.ServerState) { s.Trust = trusted(s.Trust) }
		},
		"webhooks are waited for": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) { s.Webhooks = nil }
			w.serverBlind = func(s *certs.ServerState) { s.Trust = s.Trust[:1] }
		},
		"old authorities are kept": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) { s.Chains = nil }
		},
		"replicas are asked what they present": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				for i := range s.Chains {
					s.Chains[i].Behind, s.Chains[i].Since = nil, time.Time{}
				}
			}
		},
		"replicas that start now may start with what was mounted": func(w *world) {
			w.authorityBlind = func(s *certs.AuthorityState) {
				for i := range s.Chains {
					s.Chains[i].Since = time.Time{}
				}
			}
		},
	}
	for name, blind := range tests {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				w := newWorld(t, seed)
				blind(w)
				if _, err := w.live(t); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("without the rule nothing is lost")
		})
	}
}
