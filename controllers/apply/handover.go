package apply

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// scaleOwner is the field manager that has the number of a Deployment's replicas from when the
// operator lets go of it until an autoscaler first changes it.
const scaleOwner = FieldOwner + "-scale"

// handOver keeps the number of replicas of a Deployment that is rendered without one. Were the
// operator the only owner of the field, the apply that does not name it would remove it, and
// the API server would make it 1. So another owner takes it beforehand, with the number that
// it has; if an autoscaler is faster, that is a conflict, and the next reconcile knows more.
func (a *Applier) handOver(ctx context.Context, wanted *wanted, live client.Object) error {
	_, rendered, _ := unstructured.NestedFieldNoCopy(wanted.object.Object, "spec", "replicas")
	if _, is := live.(*appsv1.Deployment); !is || rendered {
		return nil
	}
	// The caches strip managed fields.
	whole := &appsv1.Deployment{}
	if err := a.uncached.Get(ctx, client.ObjectKeyFromObject(live), whole); err != nil {
		return client.IgnoreNotFound(err)
	}
	held, err := scaledByOthers(whole)
	if err != nil || held || whole.Spec.Replicas == nil {
		return err
	}
	keep := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(*whole.Spec.Replicas)}}}
	keep.SetGroupVersionKind(wanted.gvk)
	keep.SetNamespace(whole.Namespace)
	keep.SetName(whole.Name)
	keep.SetUID(whole.UID)
	if err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(keep), client.FieldOwner(scaleOwner)); err != nil {
		return fmt.Errorf("hand over the number of replicas: %w", err)
	}
	return nil
}

// scaledByOthers says whether somebody else than the operator has set the number of replicas.
func scaledByOthers(deployment *appsv1.Deployment) (bool, error) {
	for _, entry := range deployment.ManagedFields {
		if entry.FieldsV1 == nil || entry.Manager == FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply {
			continue
		}
		var fields struct {
			Spec map[string]any `json:"f:spec"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			return false, fmt.Errorf("read the fields of manager %s: %w", entry.Manager, err)
		}
		if _, owns := fields.Spec["f:replicas"]; owns {
			return true, nil
		}
	}
	return false, nil
}
