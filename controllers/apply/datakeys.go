package apply

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
