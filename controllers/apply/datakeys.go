package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// removeDataAdditions takes out of a ConfigMap the keys that others added: a policy server
// reads each key that it knows, whoever wrote it. A ConfigMap of which no data is rendered is
// for others to fill. reply is the object after the apply, and becomes the object after the
// removal.
func (a *Applier) removeDataAdditions(ctx context.Context, wanted *wanted, reply *unstructured.Unstructured) error {
	rendered, _, _ := unstructured.NestedMap(wanted.object.Object, "data")
	if wanted.gvk.Kind != "ConfigMap" || len(rendered) == 0 {
		return nil
	}
	var operations []operation
	live, _, _ := unstructured.NestedMap(reply.Object, "data")
	for _, key := range slices.Sorted(maps.Keys(live)) {
		if _, ours := rendered[key]; !ours {
			operations = append(operations, operation{Op: "remove", Path: "/data/" + key})
		}
	}
	if err := a.patch(ctx, reply, operations); err != nil {
		return fmt.Errorf("remove keys that others added: %w", err)
	}
	return nil
}

// RemoveDataKeys takes keys out of a ConfigMap, from data and binaryData, whoever owns
// them. It is the one write that is not server-side apply, since what others own can be
// taken away in no other way. A ConfigMap that is gone has no keys.
func (a *Applier) RemoveDataKeys(ctx context.Context, configMap client.ObjectKey, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	nulls := map[string]any{}
	for _, key := range keys {
		nulls[key] = nil
	}
	patch, err := json.Marshal(map[string]any{"data": nulls, "binaryData": nulls})
	if err != nil {
		return fmt.Errorf("encode the removal of keys from ConfigMap %s: %w", configMap, err)
	}
	live := &corev1.ConfigMap{}
	live.Name, live.Namespace = configMap.Name, configMap.Namespace
	err = a.client.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove keys from ConfigMap %s: %w", configMap, err)
	}
	return nil
}
