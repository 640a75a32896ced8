package certs

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	// observedEvery is how soon to look again at what replicas tell of their callers while
	// somebody may wait for it, and requiredEvery once all demand certificates. Reports wake
	// nobody who asks for this.
	observedEvery = 10 * time.Second
	requiredEvery = time.Minute
)

// MutualTLSState is what is known of certificates that policy servers ask for.
type MutualTLSState struct {
	// Wanted is what the spec asks for; its mode is not Disabled.
	Wanted operatorv1alpha1.MutualTLS
	// Authorities are those of the ConfigMap, in PEM, and Missing is why there are none.
	Authorities []byte
	Missing     string
	// Replicas are those of all policy servers.
	Replicas replicas.Set
}

// MutualTLSCondition is the condition MutualTLSReady, without a generation.
func MutualTLSCondition(state MutualTLSState) metav1.Condition {
	condition := metav1.Condition{Type: operatorv1alpha1.ConditionMutualTLSReady, Status: metav1.ConditionFalse}
	wanted := contract.AuthoritiesFingerprint(state.Authorities)
	if wanted == "" {
		condition.Reason, condition.Message = operatorv1alpha1.ReasonClientAuthoritiesMissing, state.Missing
		return condition
	}
	var behind, unproven []string
	proven := 0
	for _, replica := range state.Replicas {
		report := replica.Report
		switch {
		case replica.Terminating, replica.Silent:
			continue
		case report == nil, report.Clients == nil, report.ClientCA != wanted, report.Clients.Mode != render.ClientMode(state.Wanted.Mode):
			behind = append(behind, "Pod "+replica.Name)
			continue
		case report.Clients.Unproven:
			unproven = append(unproven, "Pod "+replica.Name)
		}
		if report.Clients.Proven {
			proven++
		}
	}
	const callers = "callers without a certificate that counts"
	switch required := state.Wanted.Mode == operatorv1alpha1.MutualTLSRequire; {
	case len(behind) > 0:
		condition.Reason = operatorv1alpha1.ReasonReplicasBehind
		condition.Message = fmt.Sprintf("mode %s: waiting for %s to take it up", state.Wanted.Mode, some(behind))
	case required:
		condition.Status, condition.Reason = metav1.ConditionTrue, operatorv1alpha1.ReasonCertificatesRequired
		condition.Message = "every replica refuses " + callers
		if len(unproven) > 0 {
			condition.Message += fmt.Sprintf("; %s did so within the last minutes", some(unproven))
		}
	case len(unproven) > 0:
		condition.Reason = operatorv1alpha1.ReasonCallersUnproven
		condition.Message = fmt.Sprintf("%s had %s within the last minutes, whom mode Require would refuse: its log names their addresses", some(unproven), callers)
	case proven == 0:
		condition.Reason = operatorv1alpha1.ReasonNobodyProven
		condition.Message = "no API server has called yet: mode Require may refuse all"
	default:
		condition.Reason = operatorv1alpha1.ReasonNobodyUnproven
		condition.Message = "every API server that called within the last minutes had a certificate: mode Require would refuse nobody"
	}
	return condition
}

// SyncMutualTLS sets the condition MutualTLSReady, or removes it where nobody needs a
// certificate, and tells when to look again though nothing happened. Nothing is written.
func (c *Certificates) SyncMutualTLS(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (time.Duration, error) {
	wanted := kubewarden.Spec.MutualTLS
	if render.ClientMode(wanted.Mode) == "" {
		apimeta.RemoveStatusCondition(&kubewarden.Status.Conditions, operatorv1alpha1.ConditionMutualTLSReady)
		return 0, nil
	}
	state, err := c.observeMutualTLS(ctx, wanted)
	if err != nil {
		return 0, err
	}
	condition := MutualTLSCondition(state)
	condition.ObservedGeneration = kubewarden.Generation
	apimeta.SetStatusCondition(&kubewarden.Status.Conditions, condition)
	if condition.Status == metav1.ConditionTrue {
		return requiredEvery, nil
	}
	return observedEvery, nil
}

func (c *Certificates) observeMutualTLS(ctx context.Context, wanted operatorv1alpha1.MutualTLS) (MutualTLSState, error) {
	state := MutualTLSState{Wanted: wanted}
	// It is the user's, so it is not in the caches.
	configMap := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: c.render.Namespace, Name: wanted.ClientCAConfigMap}
	switch err := c.uncached.Get(ctx, key, configMap); {
	case apierrors.IsNotFound(err):
		state.Missing = fmt.Sprintf("spec.mutualTLS.clientCAConfigMap: there is no ConfigMap %s", key)
	case err != nil:
		return state, fmt.Errorf("get ConfigMap %s: %w", key, err)
	default:
		state.Authorities = []byte(configMap.Data[render.KeyClientCA])
		state.Missing = fmt.Sprintf("spec.mutualTLS.clientCAConfigMap: ConfigMap %s has no certificate in PEM under the key %s", key, render.KeyClientCA)
	}
	var servers policiesv1.PolicyServerList
	if err := c.client.List(ctx, &servers); err != nil {
		return state, fmt.Errorf("list PolicyServers: %w", err)
	}
	for i := range servers.Items {
		set, err := c.replicasOf(ctx, servers.Items[i].Name)
		if err != nil {
			return state, err
		}
		state.Replicas = append(state.Replicas, set...)
	}
	return state, nil
}
