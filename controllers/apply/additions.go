package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// removeAdditions takes out of a webhook configuration the webhooks and match conditions
// that others added. Server-side apply leaves such list items alone, yet one condition
// `false` would switch a policy off. The patch only removes, so that no field is owned
// twice, and tests each name first. reply is the object after the apply, and becomes the
// object after the removal.
func (a *Applier) removeAdditions(ctx context.Context, wanted *wanted, reply *unstructured.Unstructured) error {
	if wanted.gvk.Group != admissionregistrationv1.GroupName {
		return nil
	}
	operations := additions("/webhooks", namedItems(wanted.object.Object, "webhooks"), namedItems(reply.Object, "webhooks"))
	for index, live := range namedItems(reply.Object, "webhooks") {
		rendered := find(namedItems(wanted.object.Object, "webhooks"), live)
		if rendered == nil {
			continue
		}
		path := fmt.Sprintf("/webhooks/%d/matchConditions", index)
		// Conditions go first: the removal of a webhook would move the indexes.
		operations = append(
			additions(path, namedItems(rendered, "matchConditions"), namedItems(live, "matchConditions")),
			operations...)
	}
	if err := a.patch(ctx, reply, operations); err != nil {
		return fmt.Errorf("remove what others added: %w", err)
	}
	return nil
}

// patch takes the steps of a JSON patch; object becomes the object after them.
func (a *Applier) patch(ctx context.Context, object client.Object, operations []operation) error {
	if len(operations) == 0 {
		return nil
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	return a.client.Patch(ctx, object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldOwner))
}

// additions removes, from the last to the first, the live items that are not rendered.
func additions(path string, rendered, live []map[string]any) []operation {
	var operations []operation
	for index, item := range slices.Backward(live) {
		if find(rendered, item) != nil {
			continue
		}
		at := fmt.Sprintf("%s/%d", path, index)
		operations = append(operations,
			operation{Op: "test", Path: at + "/name", Value: item["name"]},
			operation{Op: "remove", Path: at})
	}
	return operations
}

// namedItems returns the objects of a list of objects; nil when there is none.
func namedItems(object map[string]any, field string) []map[string]any {
	list, _ := object[field].([]any)
	items := make([]map[string]any, 0, len(list))
	for _, item := range list {
		fields, _ := item.(map[string]any)
		items = append(items, fields)
	}
	return items
}

// find returns the item that has the name of another, or nil.
func find(items []map[string]any, like map[string]any) map[string]any {
	for _, item := range items {
		if item["name"] == like["name"] {
			return item
		}
	}
	return nil
}
