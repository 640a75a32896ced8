package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// state is what one reconcile has seen and done.
type state struct {
	// kubewarden is changed in its status only; original is as it was read.
	kubewarden, original *operatorv1alpha1.Kubewarden

	servers  []policiesv1.PolicyServer
	policies []policiesv1.Policy
	// accounts are the ServiceAccounts of policy servers.
	accounts []corev1.ServiceAccount
	// webhooks and deployments are how many of ours exist; known only while the Kubewarden
	// is being deleted.
	webhooks, deployments int

	// observed says that everything above is known.
	observed bool
	// authority is how far the certificate authority has come.
	authority certs.Progress
	// foreignDefault says that a PolicyServer named default exists which is not ours.
	foreignDefault bool
	// audit is what is known of the audit scanner, and reportKinds of the kinds that it
	// writes; they are empty until they have been looked at.
	audit       audit
	reportKinds []reportKind
	recommended recommended
	monitoring  monitoring
}

func newState(kubewarden *operatorv1alpha1.Kubewarden) *state {
	return &state{kubewarden: kubewarden, original: kubewarden.DeepCopy()}
}

func (r *Reconciler) observe(ctx context.Context, s *state) error {
	var servers policiesv1.PolicyServerList
	if err := r.Client.List(ctx, &servers); err != nil {
		return fmt.Errorf("list PolicyServers: %w", err)
	}
	s.servers = servers.Items
	var err error
	if s.policies, err = index.Policies(ctx, r.Client); err != nil {
		return err
	}
	if err := r.observeAccounts(ctx, s); err != nil {
		return err
	}
	if err := r.observeAudit(ctx, s); err != nil {
		return err
	}
	if !s.kubewarden.DeletionTimestamp.IsZero() {
		if err := r.observeRemains(ctx, s); err != nil {
			return err
		}
	}
	s.observed = true
	return nil
}

// observeRemains counts what is still there. It asks the API server: a cache that is a
// moment late would end the uninstallation before its time.
func (r *Reconciler) observeRemains(ctx context.Context, s *state) error {
	ours := client.MatchingLabels(render.InstallationLabels(s.kubewarden.Name))
	webhooks, err := r.webhooks(ctx, ours)
	if err != nil {
		return err
	}
	s.webhooks = len(webhooks)
	var deployments appsv1.DeploymentList
	if err := r.Uncached.List(ctx, &deployments, client.InNamespace(r.Render.Namespace), ours); err != nil {
		return fmt.Errorf("list Deployments: %w", err)
	}
	for i := range deployments.Items {
		// One whose PolicyServer is gone is the garbage collector's.
		if s.hasServer(deployments.Items[i].Labels[render.LabelPolicyServer]) {
			s.deployments++
		}
	}
	return nil
}

func (s *state) hasServer(name string) bool {
	return slices.ContainsFunc(s.servers, func(server policiesv1.PolicyServer) bool { return server.Name == name })
}

// webhooks lists webhook configurations of both kinds.
func (r *Reconciler) webhooks(ctx context.Context, options ...client.ListOption) ([]client.Object, error) {
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if err := r.Uncached.List(ctx, &validating, options...); err != nil {
		return nil, fmt.Errorf("list ValidatingWebhookConfigurations: %w", err)
	}
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if err := r.Uncached.List(ctx, &mutating, options...); err != nil {
		return nil, fmt.Errorf("list MutatingWebhookConfigurations: %w", err)
	}
	var webhooks []client.Object
	for i := range validating.Items {
		webhooks = append(webhooks, &validating.Items[i])
	}
	for i := range mutating.Items {
		webhooks = append(webhooks, &mutating.Items[i])
	}
	return webhooks, nil
}

// syncAuthority takes the next step with the certificate authority.
func (r *Reconciler) syncAuthority(ctx context.Context, s *state) error {
	var err error
	if s.authority, err = r.Certificates.SyncAuthority(ctx, s.kubewarden); err != nil {
		s.authority = certs.Progress{Reason: operatorv1alpha1.ReasonReconciliationFailed, Message: err.Error()}
	}
	certs.SetCertificatesReady(s.kubewarden, s.authority)
	return err
}

// syncExpiry tells of certificates that should have been replaced long since.
func (r *Reconciler) syncExpiry(ctx context.Context, s *state) error {
	expiry, err := r.Certificates.Expiry(ctx, s.kubewarden)
	if err != nil {
		return err
	}
	s.lookAgain(expiry.After)
	condition := metav1.Condition{
		Type: operatorv1alpha1.ConditionCertificatesCurrent, Status: metav1.ConditionTrue,
		Reason: operatorv1alpha1.ReasonRenewedInTime, Message: "every certificate in use is renewed in time",
	}
	if len(expiry.Soon) > 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, operatorv1alpha1.ReasonExpiresSoon
		condition.Message = strings.Join(expiry.Soon, "; ") + ": it should have been renewed long since"
	}
	s.setCondition(condition)
	return nil
}

// syncClients takes the next step with the certificates by which policy servers know the
// operator and the audit scanner.
func (r *Reconciler) syncClients(ctx context.Context, s *state) error {
	after, err := r.Certificates.SyncClients(ctx, s.kubewarden)
	s.lookAgain(after)
	return err
}

// observeMutualTLS tells of what replicas ask of their callers.
func (r *Reconciler) observeMutualTLS(ctx context.Context, s *state) error {
	after, err := r.Certificates.SyncMutualTLS(ctx, s.kubewarden)
	s.lookAgain(after)
	return err
}

// lookAgain has the Kubewarden looked at after some time though nothing happened; 0 is never.
func (s *state) lookAgain(after time.Duration) {
	if after > 0 && (s.authority.After == 0 || after < s.authority.After) {
		s.authority.After = after
	}
}

// applyDefaultPolicyServer makes the default PolicyServer, or removes it when it is no
// longer wanted. One of that name that a user made is the user's, and serves as well.
func (r *Reconciler) applyDefaultPolicyServer(ctx context.Context, s *state) error {
	server := render.DefaultPolicyServer(s.kubewarden)
	if server == nil {
		unwanted := &policiesv1.PolicyServer{}
		unwanted.Name = policiesv1.DefaultPolicyServer
		return r.Applier.Delete(ctx, s.kubewarden, unwanted)
	}
	err := r.Applier.Apply(ctx, s.kubewarden, server)
	if _, foreign := errors.AsType[*apply.ForeignError](err); foreign {
		s.foreignDefault = true
		return nil
	}
	return err
}
