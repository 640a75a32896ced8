//go:build integration

package simulator

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// owned are the kinds whose objects have owners here, and owners those that own; an owner's
// kind comes after those of what it owns.
var (
	owned = []schema.GroupVersionKind{
		{Version: "v1", Kind: "Pod"},
		{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "Secret"},
		{Version: "v1", Kind: "Service"},
		{Version: "v1", Kind: "ServiceAccount"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Group: "batch", Version: "v1", Kind: "CronJob"},
		policiesv1.GroupVersion.WithKind("PolicyServer"),
		policiesv1.GroupVersion.WithKind("ClusterAdmissionPolicy"),
	}
	owners = []schema.GroupVersionKind{
		policiesv1.GroupVersion.WithKind("ClusterAdmissionPolicyGroup"),
		policiesv1.GroupVersion.WithKind("AdmissionPolicy"),
		policiesv1.GroupVersion.WithKind("AdmissionPolicyGroup"),
		operatorv1alpha1.GroupVersion.WithKind("Kubewarden"),
	}
)

// collect deletes objects of which no owner is left. What is owned is listed before what
// owns it, so that no owner can be younger than the list.
func (w *Workloads) collect(ctx context.Context) error {
	orphans, err := w.orphans(ctx)
	if err != nil {
		return err
	}
	for i := range orphans {
		uid := orphans[i].UID
		err := w.cluster.Admin.Delete(ctx, &orphans[i], client.Preconditions{UID: &uid})
		if unlessOvertaken(err) != nil {
			return fmt.Errorf("collect %s %s: %w", orphans[i].Kind, orphans[i].Name, err)
		}
	}
	return nil
}

// orphans are the objects that have owners of which none is left.
func (w *Workloads) orphans(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	var dependents []metav1.PartialObjectMetadata
	alive := map[types.UID]bool{}
	for _, kind := range append(append([]schema.GroupVersionKind{}, owned...), owners...) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		if err := w.cluster.Admin.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			list.Items[i].SetGroupVersionKind(kind)
			alive[list.Items[i].UID] = true
			if len(list.Items[i].OwnerReferences) > 0 && list.Items[i].DeletionTimestamp == nil {
				dependents = append(dependents, list.Items[i])
			}
		}
	}
	var orphans []metav1.PartialObjectMetadata
	for i := range dependents {
		left := false
		for _, reference := range dependents[i].OwnerReferences {
			left = left || alive[reference.UID]
		}
		if !left {
			orphans = append(orphans, dependents[i])
		}
	}
	return orphans, nil
}
