// These histories are of pure functions, in one goroutine: the race detector would see nothing
// and take eight times as long.

//go:build !race

package certs_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
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
	callers        []*caller
	bundles        versions  // what was published, for those who mount it
	down           time.Time // the operator does nothing before
	verdicts       map[string]error
	fingerprints   map[string]string
	names          int
	pace           [4]int // how many seconds a write of each kind takes, about
	authorityBlind func(*certs.AuthorityState)
	serverBlind    func(*certs.ServerState)
	clientBlind    func(*certs.ClientState)
	// forgotten are authorities of which every trace was destroyed.
	forgotten [][]byte
	// harmful destroys things; forgetful finds nothing in webhooks, credulous puts into them
	// what is destroyed.
	harmful, forgetful, credulous bool
	calm                          int // of so many seconds one brings harm
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
	trusts      []byte // the authorities of the operator and of the audit scanner
	trustsOf    time.Time
	watched     bool      // the kubelet watches the Secret, and is told at once
	looks       time.Time // when it looks next
	report      string
	reportTrust string
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
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), now: noon, verdicts: map[string]error{}, fingerprints: map[string]string{}, callers: newCallers(), calm: 120}
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
		if w.harmful {
			w.destroy(func() { w.harm(t) })
		}
	} else if w.signer != nil && !w.signer.pair.Fits() {
		w.destroy(func() { w.signer = nil }) // nobody else mends that
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
	w.callersRead()
	return errors.Join(w.look(), w.lookAtCallers())
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
	if server.presented.last().fits() && w.readable() && w.random.IntN(200) == 0 && len(w.webhooks) < 4 {
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
		add(1, func() error { return w.issue(certs.Claim{DNSName: dnsName}, &server.issued) })
		add(2, func() error { return w.present(server) })
	}
	for _, caller := range w.callers {
		add(1, func() error { return w.issue(caller.claim, &caller.issued) })
		add(2, func() error { return w.presentClient(caller) })
	}
	for _, webhook := range w.webhooks {
		add(3, func() error {
			if bundle := w.published.Bundle(); (w.readable() || w.credulous) && !bytes.Equal(bundle, webhook.bundles.last().text) {
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
	state := certs.AuthorityState{Now: w.now, Published: w.published, Webhooks: w.trust(nil)}
	due, _, err := certs.Due(certs.DueState{
		Now: w.now, Authority: w.signer.pair, Asked: asked(w.wanted), MadeFor: asked(w.signer.reason),
	})
	if err == nil { // else it cannot sign, and is none
		state.Issued, state.Due = w.signer.pair.Certificate, due
	}
	if !w.readable() {
		webhooks := state.Webhooks
		if w.forgetful {
			webhooks = nil
		}
		state.Published = certs.Recovered(w.published, webhooks)
	}
	if w.next != nil {
		state.Next = w.next.pair.Certificate
	}
	for _, caller := range w.callers {
		state.Chains = append(state.Chains, caller.chain())
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

// asked is the value of an annotation.
func asked(wanted int) string { return fmt.Sprintf("the %dth", wanted) }

// readable says whether what is published is what the operator wrote.
func (w *world) readable() bool {
	_, err := leafOf(w.published.Current)
	return err == nil
}

func (w *world) publish(published certs.Published) {
	w.published = published
	w.bundles = append(w.bundles, version{since: w.now, text: published.Bundle()})
}

func (s *server) reports() replicas.Set {
	set := make(replicas.Set, 0, len(s.pods))
	for _, pod := range s.pods {
		replica := replicas.Replica{Name: pod.name, Terminating: pod.terminating}
		if pod.report != "" {
			replica.Report = &contract.Report{ServingCertificate: pod.report, OwnClientCA: pod.reportTrust}
		}
		set = append(set, replica)
	}
	return set
}

// syncAuthority makes one write at most, as the built-in provider does.
func (w *world) syncAuthority(t *testing.T) error {
	t.Helper()
	if w.signer == nil {
		w.signer = w.make(t)
		return nil
	}
	if w.next != nil && (bytes.Equal(w.next.pair.Certificate, w.signer.pair.Certificate) || !w.next.pair.Fits()) {
		w.next = nil
		return nil
	}
	switch plan := certs.PlanAuthority(w.authorityState()); plan.Step {
	case certs.StepPublish:
		w.publish(plan.Publish)
	case certs.StepPrepare:
		w.next = w.make(t)
	case certs.StepPromote:
		w.signer = w.next
	case certs.StepNone, certs.StepHold:
	case certs.StepWait:
		if w.signer.pair.Fits() {
			return fmt.Errorf("the plan for the authority is %+v", plan)
		}
	default:
		return fmt.Errorf("the plan for the authority is %+v", plan)
	}
	return nil
}

// issue signs a pair anew where the plan says so, and the authority can.
func (w *world) issue(claim certs.Claim, issued *certs.Pair) error {
	if w.signer == nil {
		return nil
	}
	plan := certs.PlanLeaf(certs.LeafState{Now: w.now, Claim: claim, Authority: w.signer.pair.Certificate, Issued: *issued})
	if plan.Step != certs.StepIssue {
		return nil
	}
	if pair, err := certs.Issue(w.signer.pair, claim, w.now); err == nil {
		*issued = pair
	}
	return nil
}

func (w *world) present(server *server) error {
	last := server.presented.last()
	state := certs.ServerState{
		Now: w.now, DNSName: dnsName, Issued: server.issued, Presented: certs.Pair{Certificate: last.text, Key: last.key},
		Trust: append([]certs.Trust{{Name: "Secret kubewarden-ca", CABundle: w.published.Bundle(), Since: w.published.ChangedAt}}, w.trust(server)...),
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
			w.mount(server, pod)
			if w.random.IntN(10) == 0 {
				pod.report, pod.reportTrust = fingerprintOf(pod.mounted), w.fingerprint(pod.trusts)
			}
		}
	}
}

// mount lets a kubelet look at what a Pod mounts. A replica leaves a pair that is none.
func (w *world) mount(server *server, pod *pod) {
	seenAt := w.now
	switch {
	case pod.watched:
	case w.now.Before(pod.looks):
		return
	default:
		seenAt = w.now.Add(-time.Duration(w.random.Int64N(int64(kubeletCache))))
		if pod.mounted == nil { // it may start with the oldest that a kubelet may show
			seenAt = w.now.Add(-kubeletEvery - kubeletCache)
		}
		pod.looks = w.now.Add(time.Duration(w.random.Int64N(int64(kubeletEvery))))
	}
	if seen := server.presented.at(seenAt); seen.fits() && !w.older(server, seen.text, pod.mounted) {
		pod.mounted = seen.text
	}
	if seenAt.After(pod.trustsOf) {
		pod.trusts, pod.trustsOf = w.bundles.at(seenAt).text, seenAt
	}
}

// older says whether a text was presented before another one, which there is.
func (w *world) older(server *server, text, than []byte) bool {
	if than == nil {
		return false
	}
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
				if pod.terminating || pod.mounted == nil || expired(pod.mounted, w.now) {
					continue
				}
				if err := w.call(bundle, pod.mounted, x509.ExtKeyUsageServerAuth); err != nil && !w.signedByForgotten(pod.mounted, x509.ExtKeyUsageServerAuth) {
					return fmt.Errorf("after %s %s is called for webhook %d: %w", w.now.Sub(noon), pod.name, i, err)
				}
			}
		}
	}
	return nil
}

// call says whether authorities vouch for a chain; that it has expired is for others to say.
func (w *world) call(bundle, chain []byte, usage x509.ExtKeyUsage) error {
	key := string(bundle) + string(chain)
	if verdict, ok := w.verdicts[key]; ok {
		return verdict
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	leaf, err := leafOf(chain)
	if err == nil {
		_, err = leaf.Verify(x509.VerifyOptions{
			Roots: roots, CurrentTime: leaf.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{usage},
		})
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
	if w.signer == nil || !w.readable() {
		return errors.New("there is no authority, or none is published")
	}
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
			if err := w.call(w.published.Current, pod.mounted, x509.ExtKeyUsageServerAuth); err != nil {
				return fmt.Errorf("%s presents the certificate of another authority: %w", pod.name, err)
			}
		}
	}
	for _, caller := range w.callers {
		if err := w.call(w.published.Current, caller.uses, x509.ExtKeyUsageClientAuth); err != nil || expired(caller.uses, w.now) {
			return fmt.Errorf("%s presents the certificate of another authority: %w", caller.name(), err)
		}
	}
	return nil
}
