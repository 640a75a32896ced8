package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// The operator and the audit scanner call policy servers, which may demand certificates. Their
// pairs are issued aside and presented once every policy server trusts the authority: what
// server.go does for those who are called, done here for those who call.

// ClientState is what is known of the pair of a client of policy servers.
type ClientState struct {
	Now     time.Time
	Request Request
	// Claim is what the pair proves.
	Claim Claim
	// Issued is the pair as it was issued, and Presented the one that the client uses.
	Issued, Presented Pair
	// PresentedAt is as in ServerState.
	PresentedAt string
	// Published is whom policy servers are to trust.
	Published Published
	// Behind names the replicas that are not known to trust all of that.
	Behind []string
}

// PlanClient decides the next step for the pair of a client. Where no usable pair is presented
// there is nothing to lose and the issued one is presented at once; else only when every replica
// trusts its authority, and so does one that starts now and is given what was there before.
func PlanClient(state ClientState) ServerPlan {
	pair := pairState{claim: state.Claim, request: state.Request, issued: state.Issued, presented: state.Presented, now: state.Now}
	if plan, done := pair.plan(); done {
		return plan
	}
	if !pair.presentable() {
		return ServerPlan{Step: StepPresent, Presentable: true}
	}
	wait := func(after time.Duration, message string, values ...any) ServerPlan {
		return ServerPlan{Step: StepWait, Presentable: true, After: after, Message: fmt.Sprintf(message, values...)}
	}
	if err := state.Claim.trusted(state.Issued, state.Published.Bundle(), state.Now); err != nil {
		return wait(recheck, "waiting for %s to publish the authority of the new certificate: %v", secretOfAuthorities, err)
	}
	if len(state.Behind) > 0 {
		return wait(recheck, "waiting for %s to trust the authority of the new certificate", some(state.Behind))
	}
	if rest := mounting - state.Now.Sub(state.Published.ChangedAt); rest > 0 {
		return wait(rest, "waiting until %s has been published for %s", secretOfAuthorities, mounting)
	}
	return ServerPlan{Step: StepPresent, Presentable: true}
}

// Distrusting names the replicas of a policy server that are not known to trust all authorities
// that are published, in PEM, as those of clients. One that does not report has them mounted
// like the others, and time alone tells when.
func Distrusting(published []byte, set replicas.Set) []string {
	wanted := contract.AuthoritiesFingerprint(published)
	var names []string
	for _, replica := range set {
		if replica.Terminating || replica.Silent {
			continue
		}
		if replica.Report == nil || replica.Report.OwnClientCA != wanted {
			names = append(names, "Pod "+replica.Name)
		}
	}
	return names
}

// SyncClients has the provider in use issue the pairs of all clients, presents them when the
// plan says so, and tells when to look again though nothing happened.
func (c *Certificates) SyncClients(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (time.Duration, error) {
	provider := c.inUse(kubewarden)
	if provider == nil {
		return 0, nil // a change of the status wakes this again
	}
	var after time.Duration
	var failures []error
	for _, one := range render.Clients() {
		next, err := c.syncClient(ctx, provider, kubewarden, one)
		after, failures = soonest(after, next), append(failures, err)
	}
	return after, errors.Join(failures...)
}

func (c *Certificates) syncClient(ctx context.Context, provider provider, kubewarden *operatorv1alpha1.Kubewarden, of render.Client) (time.Duration, error) {
	issued, err := provider.pair(ctx, c.clientHolder(kubewarden, of))
	if err != nil {
		return 0, err
	}
	state, err := c.observeClient(ctx, of, issued)
	if err != nil {
		return 0, err
	}
	plan := PlanClient(state)
	after := soonest(plan.After, issued.plan.After)
	if plan.Step == StepWait { // what is presented stays as it is
		return after, nil
	}
	if plan.Step == StepPresent {
		state.PresentedAt = state.Now.UTC().Format(time.RFC3339)
	}
	return after, c.applier.Apply(ctx, kubewarden, render.PresentedClient(render.PresentedClientInput{
		Config: c.render, Installation: render.NewInstallation(kubewarden), Client: of,
		Certificate: state.Issued.Certificate, Key: state.Issued.Key, PresentedAt: state.PresentedAt,
	}))
}

func (c *Certificates) observeClient(ctx context.Context, of render.Client, issued issued) (ClientState, error) {
	presented, err := c.presentedBy(ctx, of)
	if err != nil {
		return ClientState{}, err
	}
	state := ClientState{
		Now: c.now(), Request: issued.request, Claim: claimOf(of), Issued: issued.pair, Presented: pairOf(presented),
		PresentedAt: presented.Annotations[render.AnnotationPresentedAt],
	}
	if state.Issued.equal(state.Presented) {
		return state, nil // nobody need be asked
	}
	if state.Published, err = c.published(ctx); err != nil {
		return ClientState{}, err
	}
	var servers policiesv1.PolicyServerList
	if err := c.client.List(ctx, &servers); err != nil {
		return ClientState{}, fmt.Errorf("list PolicyServers: %w", err)
	}
	for i := range servers.Items {
		set, err := c.replicasOf(ctx, servers.Items[i].Name)
		if err != nil {
			return ClientState{}, err
		}
		state.Behind = append(state.Behind, Distrusting(state.Published.Bundle(), set)...)
	}
	return state, nil
}

func claimOf(one render.Client) Claim { return Claim{URI: one.Identity} }

// clientHolder is a client as somebody to issue for.
func (c *Certificates) clientHolder(kubewarden *operatorv1alpha1.Kubewarden, of render.Client) holder {
	installation := render.NewInstallation(kubewarden)
	return holder{
		owner:       kubewarden,
		claim:       claimOf(of),
		certificate: render.ClientCertificate(c.render, installation, of),
		secret: func(pair Pair) *corev1.Secret {
			return render.IssuedClient(render.PresentedClientInput{
				Config: c.render, Installation: installation, Client: of, Certificate: pair.Certificate, Key: pair.Key,
			})
		},
	}
}

// rereading is how long a client that runs may use what it read of its files before: the audit
// scanner looks every ten seconds (scan.FollowEvery), and the operator's caches are faster.
const rereading = 15 * time.Second

// InUseSince is since when a client uses a pair that was put where it finds it.
func InUseSince(presented time.Time) time.Time {
	if presented.IsZero() {
		return presented
	}
	return presented.Add(rereading)
}

// clientChains are what clients present.
func (c *Certificates) clientChains(ctx context.Context) ([]Chain, error) {
	var chains []Chain
	for _, one := range render.Clients() {
		presented, err := c.presentedBy(ctx, one)
		if err != nil {
			return nil, err
		}
		chains = append(chains, Chain{
			Name: one.Name, Claim: claimOf(one), Certificate: presented.Data[corev1.TLSCertKey], Since: InUseSince(presentedSince(presented)),
		})
	}
	return chains, nil
}

// OperatorCertificate is the pair with which the operator calls policy servers. The error says
// why there is none that they would accept.
func (c *Certificates) OperatorCertificate(ctx context.Context) (*tls.Certificate, error) {
	operator := render.OperatorAsClient()
	secret, err := c.secret(ctx, operator.Presented)
	if err != nil {
		return nil, err
	}
	if err := claimOf(operator).usable(pairOf(secret), c.now()); err != nil {
		return nil, fmt.Errorf("the operator's client certificate in Secret %s/%s: %w", c.render.Namespace, operator.Presented, err)
	}
	return pairOf(secret).load(c.now())
}
