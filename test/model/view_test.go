//go:build integration

package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// view is all that the invariants are about, as it is at one time.
type view struct {
	kubewarden *operatorv1alpha1.Kubewarden // nil when there is none
	servers    map[string]*policiesv1.PolicyServer
	policies   []policiesv1.Policy
	// configured is what policies.yml of each server says.
	configured map[string]contract.Policies
	validating map[string]*admissionregistrationv1.ValidatingWebhookConfiguration
	mutating   map[string]*admissionregistrationv1.MutatingWebhookConfiguration
	// replicas are those of each server that were not told to stop.
	replicas map[string][]simulator.State
}

func (w *world) look(ctx context.Context) (*view, error) {
	v := &view{
		servers: map[string]*policiesv1.PolicyServer{}, configured: map[string]contract.Policies{},
		validating: map[string]*admissionregistrationv1.ValidatingWebhookConfiguration{},
		mutating:   map[string]*admissionregistrationv1.MutatingWebhookConfiguration{},
		replicas:   map[string][]simulator.State{},
	}
	kubewarden := theKubewarden()
	exists, err := w.get(ctx, kubewarden)
	if err != nil {
		return nil, err
	}
	if exists {
		v.kubewarden = kubewarden
	}
	for place := range policies {
		policy := newPolicy(place)
		exists, err := w.get(ctx, policy)
		if err != nil {
			return nil, err
		}
		if exists {
			v.policies = append(v.policies, policy)
		}
	}
	for _, look := range []func(context.Context, *world) error{v.lookAtServers, v.lookAtWebhooks} {
		if err := look(ctx, w); err != nil {
			return nil, err
		}
	}
	for _, replica := range w.workloads.Replicas("") {
		if !replica.Terminating {
			v.replicas[replica.Server] = append(v.replicas[replica.Server], replica)
		}
	}
	return v, nil
}

func (v *view) lookAtServers(ctx context.Context, w *world) error {
	for _, name := range servers {
		server := &policiesv1.PolicyServer{}
		server.Name = name
		if exists, err := w.get(ctx, server); err != nil || !exists {
			if err != nil {
				return err
			}
			continue
		}
		v.servers[name] = server
		configMap := child(&corev1.ConfigMap{}, contract.ConfigMapName(name))
		if err := w.admin().Get(ctx, types.NamespacedName{Namespace: configMap.Namespace, Name: configMap.Name}, configMap); err != nil {
			if apierrors.IsNotFound(err) {
				continue
			}
			return err
		}
		decoded, refused, err := contract.DecodePolicies([]byte(configMap.Data[contract.KeyPolicies]))
		if err == nil && len(refused) == 0 {
			v.configured[name] = decoded
		}
	}
	return nil
}

func (v *view) lookAtWebhooks(ctx context.Context, w *world) error {
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if err := w.admin().List(ctx, &validating); err != nil {
		return fmt.Errorf("list webhooks: %w", err)
	}
	if err := w.admin().List(ctx, &mutating); err != nil {
		return fmt.Errorf("list webhooks: %w", err)
	}
	for i := range validating.Items {
		if _, _, _, ours := describe(&validating.Items[i]); ours {
			v.validating[validating.Items[i].Name] = &validating.Items[i]
		}
	}
	for i := range mutating.Items {
		if _, _, _, ours := describe(&mutating.Items[i]); ours {
			v.mutating[mutating.Items[i].Name] = &mutating.Items[i]
		}
	}
	return nil
}

// isOf says whether an entry is that of a policy as its spec says now. It compares what the
// operations change, and the UID.
func isOf(entry contract.Entry, policy policiesv1.Policy) bool {
	same := entry.UID == string(policy.GetUID()) &&
		string(entry.PolicyMode) == string(policy.GetMode()) &&
		entry.Refresh == policy.GetAnnotations()[policiesv1.AnnotationRefresh]
	edit(copyOf(policy), func(s shape) {
		module, settings := entry.Module, []byte(entry.Settings)
		if member, ok := entry.Policies[memberName]; ok {
			module, settings = member.Module, member.Settings
		}
		same = same && module == *s.module && sameJSON(settings, s.settings.Raw)
		if s.mutating != nil {
			same = same && entry.AllowedToMutate != nil && *entry.AllowedToMutate == *s.mutating
		}
	})
	return same
}

func copyOf(policy policiesv1.Policy) policiesv1.Policy {
	copied, ok := policy.DeepCopyObject().(policiesv1.Policy)
	if !ok {
		panic("the copy of a policy is none")
	}
	return copied
}

func sameJSON(a, b []byte) bool {
	var one, other bytes.Buffer
	return json.Compact(&one, a) == nil && json.Compact(&other, b) == nil && bytes.Equal(one.Bytes(), other.Bytes())
}

// standing is how the replicas of a policy's server stand to it.
type standing struct {
	server                              *policiesv1.PolicyServer // nil when there is none
	ready, serving, enforcing, refusing int32
	// reasons are those for which any replica, ready or not, does not serve what is wanted.
	reasons map[string]bool
}

func (s standing) enforced() bool { return s.ready > 0 && s.enforcing == s.ready }

func (v *view) standing(policy policiesv1.Policy) standing {
	id := webhookName(policy)
	s := standing{server: v.servers[policy.GetPolicyServer()], reasons: map[string]bool{}}
	for _, replica := range v.replicas[policy.GetPolicyServer()] {
		failure, refused := replica.Refused[id]
		refused = refused && isOf(replica.Config[id], policy)
		if refused {
			s.reasons[string(failure.Reason)] = true
		}
		if !replica.Ready {
			continue
		}
		s.ready++
		if refused {
			s.refusing++
		}
		entry, serves := replica.Served[id]
		if serves && entry.UID == string(policy.GetUID()) {
			s.serving++
			if isOf(entry, policy) && replica.FellBack[id] == "" {
				s.enforcing++
			}
		}
	}
	return s
}

// withdrawn is the reason why no webhook of a policy may stand; "" when it may.
func (v *view) withdrawn(s standing) string {
	switch {
	case v.kubewarden == nil:
		return policiesv1.ReasonNoInstallation
	case v.kubewarden.Spec.Enforcement == operatorv1alpha1.EnforcementSuspended:
		return policiesv1.ReasonSuspended
	case s.server == nil:
		return policiesv1.ReasonPolicyServerNotFound
	case s.server.Spec.Replicas != nil && *s.server.Spec.Replicas == 0:
		return policiesv1.ReasonPolicyServerScaledToZero
	default:
		return ""
	}
}

func (v *view) stands(policy policiesv1.Policy) bool {
	name := webhookName(policy)
	return v.validating[name] != nil || v.mutating[name] != nil
}
