package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/access"
	"github.com/kubewarden/kubewarden-operator/controllers/admission"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// state is what one reconcile has seen and done.
type state struct {
	// policy is changed in its status only; original is as it was read.
	policy, original policiesv1.Policy
	id               string
	invalid          field.ErrorList
	// entry is what policies.yml is to hold; without a hash there is none.
	entry     contract.Entry
	entryHash string
	refused   *render.RefusedEntry // nil unless the server had no room for the entry

	kubewarden *operatorv1alpha1.Kubewarden // nil when there is none
	server     *policiesv1.PolicyServer     // nil when there is none
	replicas   replicas.Policy
	caBundle   []byte // empty until an authority is published
	standing   standing
	former     policiesv1.Policy // what the standing webhook was rendered from; nil when not known

	// account is whom the replicas run as, and context what it may read of what the policy
	// declares; nil when the policy declares nothing, or nobody serves it.
	account types.NamespacedName
	context *access.Finding

	// unreachable is how long it takes until a replica can be reached.
	unreachable time.Duration

	action action
	// stands and current say of the webhook, after the action, that it exists and that it
	// is what the current generation asks for.
	stands, current bool
}

// standing are the webhook configurations of a policy: of the kind that spec.mutating
// asks for, and of the other one. Each is nil when it does not exist.
type standing struct{ wanted, unwanted client.Object }

// any is the configuration that counts: the wanted one if there are two, which is so
// between the creation of the one and the deletion of the other.
func (s standing) any() client.Object {
	if s.wanted != nil {
		return s.wanted
	}
	return s.unwanted
}

func newState(policy policiesv1.Policy) (*state, error) {
	original, ok := policy.DeepCopyObject().(policiesv1.Policy)
	if !ok {
		return nil, fmt.Errorf("copy %T: the copy is no policy", policy)
	}
	id, err := render.PolicyID(policy)
	if err != nil {
		return nil, err
	}
	return &state{policy: policy, original: original, id: id, invalid: admission.Policy(policy)}, nil
}

// observe reads everything that the decision and the status depend on.
func (r *Reconciler) observe(ctx context.Context, s *state) error {
	var err error
	if s.kubewarden, err = resource.Find(ctx, r.Client, operatorv1alpha1.KubewardenName, &operatorv1alpha1.Kubewarden{}); err != nil {
		return err
	}
	if s.server, err = resource.Find(ctx, r.Client, s.policy.GetPolicyServer(), &policiesv1.PolicyServer{}); err != nil {
		return err
	}
	if err := s.renderEntry(); err != nil {
		return err
	}
	if err := r.observeConfigured(ctx, s); err != nil {
		return err
	}
	if err := r.observeWebhooks(ctx, s); err != nil {
		return err
	}
	if err := r.observeReplicas(ctx, s); err != nil {
		return err
	}
	r.observeContext(ctx, s)
	s.caBundle, err = r.Authority.CABundle(ctx)
	if err != nil && !errors.Is(err, certs.ErrNotPublished) {
		return fmt.Errorf("read the certificate authority: %w", err)
	}
	return nil
}

// renderEntry makes the entry that policies.yml is to hold. When none can be made, that is
// the fault of the spec: no server has the policy then.
func (s *state) renderEntry() error {
	_, entry, err := render.Entry(s.policy, s.server)
	if err != nil {
		s.invalid = append(s.invalid, field.Invalid(field.NewPath("spec"), field.OmitValueType{}, err.Error()))
		return nil
	}
	hash, err := contract.EntryHash(entry)
	if err != nil {
		return fmt.Errorf("hash the entry of policy %s: %w", s.id, err)
	}
	s.entry, s.entryHash = entry, hash
	return nil
}

// observeConfigured reads what of the policy has reached its server. A file that cannot be
// read counts as none: the reconciler of the server is about to write it again.
func (r *Reconciler) observeConfigured(ctx context.Context, s *state) error {
	key := client.ObjectKey{Namespace: r.Render.Namespace, Name: contract.ConfigMapName(s.policy.GetPolicyServer())}
	var configMap corev1.ConfigMap
	if err := r.Client.Get(ctx, key, &configMap); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get ConfigMap %s: %w", key, err)
	}
	configuration, err := r.Configured.Decode(&configMap)
	if err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("What was written for a policy server cannot be read", "configMap", key, "reason", err.Error())
	}
	if s.entryHash == "" {
		return nil
	}
	s.entry = render.CarryPins(s.entry, configuration.Policies[s.id])
	if refused, ok := configuration.Refused[s.id]; ok && refused.Entry == s.entryHash {
		s.refused = &refused
	}
	return nil
}

func (r *Reconciler) observeWebhooks(ctx context.Context, s *state) error {
	wanted, unwanted, err := render.Webhooks(s.policy)
	if err != nil {
		return err
	}
	if s.standing.wanted, err = r.findWebhook(ctx, wanted); err != nil {
		return err
	}
	if s.standing.unwanted, err = r.findWebhook(ctx, unwanted); err != nil {
		return err
	}
	if webhook := s.standing.any(); webhook != nil {
		s.stands = true
		s.former = recalled(r.kind, s.policy, webhook.GetAnnotations())
	}
	return nil
}

// findWebhook returns nil when there is none that is ours.
func (r *Reconciler) findWebhook(ctx context.Context, webhook client.Object) (client.Object, error) {
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)
	if apierrors.IsNotFound(err) || err == nil && !render.IsOurs(webhook.GetLabels()) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %T %s: %w", webhook, webhook.GetName(), err)
	}
	return webhook, nil
}

func (r *Reconciler) observeReplicas(ctx context.Context, s *state) error {
	server := s.policy.GetPolicyServer()
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods,
		client.InNamespace(r.Render.Namespace), client.MatchingLabels(render.PolicyServerLabels(server)))
	if err != nil {
		return fmt.Errorf("list the Pods of PolicyServer %s: %w", server, err)
	}
	var reports corev1.ConfigMap
	key := client.ObjectKey{Namespace: r.Render.Namespace, Name: contract.ReportConfigMapName(server)}
	if err := r.Client.Get(ctx, key, &reports); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get ConfigMap %s: %w", key, err)
	}
	byReplica, unreadable := r.Reports.Decode(&reports)
	for replica, err := range unreadable {
		ctrl.LoggerFrom(ctx).V(1).Info("A replica's report cannot be read", "replica", replica, "reason", err.Error())
	}
	if s.entryHash == "" {
		return nil
	}
	s.replicas, err = replicas.NewSet(pods.Items, byReplica).Policy(s.id, s.entry)
	return err
}

// situation is the part of the state that the decision depends on.
func (s *state) situation() situation {
	situation := situation{
		idle:     s.kubewarden == nil,
		withdraw: s.withdrawn() != "",
		invalid:  len(s.invalid) > 0,
		trusted:  len(s.caBundle) > 0,
		recorded: s.former != nil,
		replicas: s.replicas,

		unreachable: s.unreachable > 0,
	}
	if webhook := s.standing.any(); webhook != nil {
		situation.standing = true
		situation.sameEntry = webhook.GetAnnotations()[annotationEntry] == s.entryHash
	}
	return situation
}

// withdrawn is the reason why no webhook may stand, or empty. The order is that in which a
// user would want to know.
func (s *state) withdrawn() string {
	switch {
	case s.kubewarden == nil && s.server != nil && s.server.DeletionTimestamp.IsZero():
		return ""
	case s.kubewarden == nil:
		// Even an idle operator lets a PolicyServer go, and leaves no webhook that points
		// nowhere.
		return policiesv1.ReasonNoInstallation
	case !s.kubewarden.DeletionTimestamp.IsZero():
		return policiesv1.ReasonNoInstallation
	case s.kubewarden.Spec.Enforcement == operatorv1alpha1.EnforcementSuspended:
		return policiesv1.ReasonSuspended
	case s.server == nil:
		return policiesv1.ReasonPolicyServerNotFound
	case !s.server.DeletionTimestamp.IsZero():
		return policiesv1.ReasonPolicyServerDeleting
	case s.server.Spec.Replicas != nil && *s.server.Spec.Replicas == 0:
		return policiesv1.ReasonPolicyServerScaledToZero
	default:
		return ""
	}
}
