//go:build integration

package model

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// checkServers holds configurations and statuses of all servers against the policies and
// what the replicas say.
func (v *view) checkServers(ctx context.Context, w *world) error {
	for name, server := range v.servers {
		if server.DeletionTimestamp != nil {
			return fmt.Errorf("server %s is deleted and stays, with finalizers %v", name, server.Finalizers)
		}
		if err := v.checkServerStatus(server); err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
		if err := v.checkChildren(ctx, w, name); err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
	}
	if v.kubewarden == nil {
		return nil
	}
	return v.checkInstallation()
}

// checkChildren wants every child in place and undamaged, and policies.yml to be what the
// policies say. Without an installation there are none.
func (v *view) checkChildren(ctx context.Context, w *world, server string) error {
	for _, object := range children(server) {
		exists, err := w.get(ctx, object)
		if err != nil {
			return err
		}
		if exists != (v.kubewarden != nil) {
			return fmt.Errorf("%T %s exists: %t", object, object.GetName(), exists)
		}
		if !exists {
			continue
		}
		content, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if strings.Contains(string(content), `"`+damaged+`"`) {
			return fmt.Errorf("%T %s is damaged: %s", object, object.GetName(), content)
		}
		if object.GetName() == contract.ReportConfigMapName(server) {
			if err := v.checkReports(object, server); err != nil {
				return err
			}
		}
	}
	if v.kubewarden == nil {
		return nil
	}
	return v.checkConfigured(server)
}

// checkReports wants reports of Pods that exist only.
func (v *view) checkReports(object client.Object, server string) error {
	configMap, ok := object.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("%T is no ConfigMap", object)
	}
	pods := map[string]bool{}
	for _, replica := range v.replicas[server] {
		pods[replica.Pod] = true
	}
	for pod := range configMap.Data {
		if !pods[pod] {
			return fmt.Errorf("there is a report of Pod %s, which is gone", pod)
		}
	}
	return nil
}

func (v *view) checkConfigured(server string) error {
	configured := v.configured[server]
	count := 0
	for _, policy := range v.policies {
		if policy.GetPolicyServer() != server {
			continue
		}
		count++
		if entry, ok := configured[webhookName(policy)]; !ok || !isOf(entry, policy) {
			return fmt.Errorf("policies.yml has not what policy %s says: %+v", webhookName(policy), entry)
		}
	}
	if len(configured) != count {
		return fmt.Errorf("policies.yml has %d policies, want %d", len(configured), count)
	}
	return nil
}

func (v *view) checkServerStatus(server *policiesv1.PolicyServer) error {
	status := server.Status
	if status.ObservedGeneration != server.Generation {
		return fmt.Errorf("status tells of generation %d, want %d", status.ObservedGeneration, server.Generation)
	}
	replicas := policiesv1.PolicyServerReplicas{Wanted: 2}
	if server.Spec.Replicas != nil {
		replicas.Wanted = *server.Spec.Replicas
	}
	for _, replica := range v.replicas[server.Name] {
		if !replica.Ready {
			continue
		}
		replicas.Ready++
		if reflect.DeepEqual(replica.Config, v.configured[server.Name]) && len(replica.Refused) == 0 && replica.Reports {
			replicas.UpToDate++
		}
	}
	if v.kubewarden == nil {
		return wanted{false, []string{policiesv1.ReasonNoInstallation}}.check(status.Conditions, policiesv1.ConditionReady, server.Generation)
	}
	if status.Replicas == nil || *status.Replicas != replicas {
		return fmt.Errorf("status counts replicas %+v, want %+v", status.Replicas, replicas)
	}
	counts := policiesv1.PolicyCounts{}
	for _, policy := range v.policies {
		if policy.GetPolicyServer() != server.Name {
			continue
		}
		s := v.standing(policy)
		counts.Total++
		if s.enforced() {
			counts.Enforced++
		}
		if len(s.reasons) > 0 {
			counts.Failed++
		}
	}
	if status.Policies == nil || *status.Policies != counts {
		return fmt.Errorf("status counts policies %+v, want %+v", status.Policies, counts)
	}
	return serverReadiness(replicas, counts).check(status.Conditions, policiesv1.ConditionReady, server.Generation)
}

func serverReadiness(replicas policiesv1.PolicyServerReplicas, counts policiesv1.PolicyCounts) wanted {
	switch {
	case replicas.Wanted == 0:
		return wanted{false, []string{policiesv1.ReasonScaledToZero}}
	case replicas.Ready < replicas.Wanted:
		return wanted{false, []string{policiesv1.ReasonWaitingForReplicas}}
	case counts.Failed > 0:
		return wanted{true, []string{policiesv1.ReasonPoliciesFailed}}
	default:
		return wanted{true, []string{policiesv1.ReasonServing}}
	}
}

// checkInstallation holds the counts of the Kubewarden against the statuses that it counts.
func (v *view) checkInstallation() error {
	if v.kubewarden.DeletionTimestamp != nil {
		return fmt.Errorf("the Kubewarden is deleted and stays, with finalizers %v", v.kubewarden.Finalizers)
	}
	status := v.kubewarden.Status
	if status.ObservedGeneration != v.kubewarden.Generation {
		return fmt.Errorf("the Kubewarden's status tells of generation %d, want %d", status.ObservedGeneration, v.kubewarden.Generation)
	}
	servers := operatorv1alpha1.PolicyServerCounts{Total: int32(len(v.servers))}
	for _, server := range v.servers {
		if apimeta.IsStatusConditionTrue(server.Status.Conditions, policiesv1.ConditionReady) {
			servers.Ready++
		}
	}
	policies := operatorv1alpha1.PolicyCounts{Total: int32(len(v.policies))}
	for _, policy := range v.policies {
		switch v.stage(policy) {
		case policiesv1.PolicyStateActive:
			policies.Active++
		case policiesv1.PolicyStatePending:
			policies.Pending++
		case policiesv1.PolicyStateScheduled:
			policies.Scheduled++
		case policiesv1.PolicyStateUnscheduled:
			// There is no policy without a server.
		}
	}
	if status.PolicyServers == nil || *status.PolicyServers != servers || status.Policies == nil || *status.Policies != policies {
		return fmt.Errorf("the Kubewarden counts %+v and %+v, want %+v and %+v", status.PolicyServers, status.Policies, servers, policies)
	}
	return nil
}
