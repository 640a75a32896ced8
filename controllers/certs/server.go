package certs

import (
	"context"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// SyncServer asks the provider in use for the pair of a policy server, and moves it into
// the Secret that the replicas mount when the plan says so. The next steps are woken by the
// Secrets of PolicyServerForSecret, by what the PolicyServer owns, and by a change of the
// provider; PlanServer looks again at webhooks by itself.
func (c *Certificates) SyncServer(ctx context.Context, server *policiesv1.PolicyServer, kubewarden *operatorv1alpha1.Kubewarden) (Progress, error) {
	installation := render.NewInstallation(kubewarden)
	issued := issued{request: Request{Obstacle: "waiting until certificates can be issued: the condition CertificatesReady of the Kubewarden tells more"}}
	if provider := c.inUse(kubewarden); provider != nil {
		var err error
		if issued, err = provider.pair(ctx, c.serverHolder(server, installation)); err != nil {
			return Progress{}, err
		}
	}
	state, err := c.observeServer(ctx, server.Name, issued)
	if err != nil {
		return Progress{}, err
	}
	plan := PlanServer(state)
	// While the plan waits, the mounted Secret stays as it is, whatever that is.
	if plan.Step != StepWait {
		input := render.ServingSecretInput{
			Config: c.render, Installation: installation, PolicyServer: server.Name,
			Certificate: state.Issued.Certificate, Key: state.Issued.Key, PresentedAt: state.PresentedAt,
		}
		if plan.Step == StepPresent {
			input.PresentedAt = state.Now.UTC().Format(time.RFC3339)
		}
		secret := render.ServingSecret(input)
		if err := c.applier.Apply(ctx, server, secret); err != nil {
			return Progress{}, err
		}
	}
	progress := serverProgress(plan)
	progress.After = soonest(progress.After, issued.plan.After)
	return progress, nil
}

// WithdrawServer has nothing issued any more for a policy server. The Secrets are children
// like others, for the caller to remove.
func (c *Certificates) WithdrawServer(ctx context.Context, server *policiesv1.PolicyServer) error {
	return (&certManagerProvider{Certificates: c}).withdrawPair(ctx, c.serverHolder(server, render.Installation{}))
}

func serverProgress(plan ServerPlan) Progress {
	progress := Progress{
		Ready:   plan.Presentable,
		Reason:  policiesv1.ReasonReconciliationSucceeded,
		Message: plan.Message,
		After:   plan.After,
	}
	if !plan.Presentable {
		progress.Reason = policiesv1.ReasonWaitingForCertificate
	}
	return progress
}

func (c *Certificates) observeServer(ctx context.Context, name string, issued issued) (ServerState, error) {
	presented, err := c.presented(ctx, name)
	if err != nil {
		return ServerState{}, err
	}
	published, err := c.published(ctx)
	if err != nil {
		return ServerState{}, err
	}
	webhooks, err := c.webhooksOf(ctx, name)
	if err != nil {
		return ServerState{}, err
	}
	if !render.IsOurs(presented.Labels) && presented.UID != "" {
		inherited, err := c.trustOf(ctx, c.uncached, name, client.MatchingLabels(render.UpstreamLabels()))
		if err != nil {
			return ServerState{}, err
		}
		webhooks = append(webhooks, inherited...)
	}
	trust := Trust{Name: secretOfAuthorities, CABundle: published.Bundle(), Since: published.ChangedAt}
	return ServerState{
		Now:       c.now(),
		Request:   issued.request,
		DNSName:   render.DNSName(name, c.render.Namespace),
		Issued:    issued.pair,
		Presented: pairOf(presented),

		PresentedAt: presented.Annotations[render.AnnotationPresentedAt],
		Trust:       append([]Trust{trust}, webhooks...),
	}, nil
}

func pairOf(secret *corev1.Secret) Pair {
	return Pair{Certificate: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]}
}

// webhooksOf returns whom the webhooks that call a policy server trust; of all policy servers
// where none is named.
func (c *Certificates) webhooksOf(ctx context.Context, server string) ([]Trust, error) {
	return c.trustOf(ctx, c.client, server, client.HasLabels{render.LabelInstallation})
}

func (c *Certificates) calls(config admissionregistrationv1.WebhookClientConfig, server string) bool {
	if config.Service == nil || config.Service.Namespace != c.render.Namespace {
		return false
	}
	if server == "" {
		return strings.HasPrefix(config.Service.Name, render.ServiceName(""))
	}
	return config.Service.Name == render.ServiceName(server)
}

func trustIn(kind string, configuration metav1.Object, config admissionregistrationv1.WebhookClientConfig) Trust {
	return Trust{
		Name:     kind + " " + configuration.GetName(),
		CABundle: config.CABundle,
		Since:    lastWritten(configuration),
	}
}

// lastWritten is when the operator last changed an object, to the second; zero when the
// caches keep no managed fields.
func lastWritten(object metav1.Object) time.Time {
	var last time.Time
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == apply.FieldOwner && entry.Time != nil && entry.Time.After(last) {
			last = entry.Time.Time
		}
	}
	return last
}

// Mounted is the SHA-256 fingerprint, in hex, of the certificate in the Secret that the
// replicas of a policy server mount, as they report it; "" while there is none. It is by the
// caches: what is mounted is that or newer.
func (c *Certificates) Mounted(ctx context.Context, server string) (string, error) {
	secret, err := c.secret(ctx, render.ServingSecretName(server))
	if err != nil {
		return "", err
	}
	return fingerprint(secret.Data[corev1.TLSCertKey]), nil
}
