package apply

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// predecessors are the field managers of upstream's controller, under the names that it had,
// and of Helm.
var predecessors = sets.New("controller", "manager", "kubewarden-controller", "kubewarden-controller-defaults", "helm", "Helm")

// takeOver makes ours the fields that upstream's controller and charts set. Server-side
// apply leaves alone what others set: a variable, a volume or a webhook's selector of
// upstream's would live on beside what is rendered. The apply that follows removes what it
// does not name. Nothing of the object but its managed fields changes here.
func (a *Applier) takeOver(ctx context.Context, wanted *wanted, live client.Object) error {
	if render.IsOurs(live.GetLabels()) {
		return nil
	}
	// The caches strip managed fields.
	whole, err := newObject(a.client.Scheme(), wanted.gvk)
	if err != nil {
		return err
	}
	if err := a.uncached.Get(ctx, client.ObjectKeyFromObject(live), whole); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if whole.GetUID() != live.GetUID() {
		return fmt.Errorf("%s was replaced while it was looked at", wanted)
	}
	renamed, err := inherit(whole, wanted.object.GetAPIVersion())
	if err != nil || renamed.Len() == 0 {
		return err
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(whole, renamed, FieldOwner)
	if err != nil {
		return fmt.Errorf("take over the fields of %s: %w", wanted, err)
	}
	ctrl.LoggerFrom(ctx).Info("Taking over an object of upstream's", "object", wanted.String())
	return a.client.Patch(ctx, whole, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldOwner))
}

// inherit gives each entry of a predecessor a manager of its own and makes it one that
// csaupgrade takes over: of an update, in the version that is applied. Of two entries with
// one manager it would drop the fields of one. It returns the managers.
//
// Finalizers are left to nobody: an apply that does not name them would remove them.
func inherit(object client.Object, version string) (sets.Set[string], error) {
	renamed := sets.New[string]()
	entries := object.GetManagedFields()
	for i := range entries {
		entry := &entries[i]
		if !predecessors.Has(entry.Manager) || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		fields, err := withoutFinalizers(entry.FieldsV1)
		if err != nil {
			return nil, fmt.Errorf("read the fields of manager %s: %w", entry.Manager, err)
		}
		entry.Manager = fmt.Sprintf("upstream-%d", i)
		entry.Operation, entry.APIVersion, entry.FieldsV1 = metav1.ManagedFieldsOperationUpdate, version, fields
		renamed.Insert(entry.Manager)
	}
	object.SetManagedFields(entries)
	return renamed, nil
}

func withoutFinalizers(owned *metav1.FieldsV1) (*metav1.FieldsV1, error) {
	var fields map[string]any
	if err := json.Unmarshal(owned.GetRawBytes(), &fields); err != nil {
		return nil, err
	}
	if metadata, ok := fields["f:metadata"].(map[string]any); ok {
		delete(metadata, "f:finalizers")
		if len(metadata) == 0 {
			delete(fields, "f:metadata")
		}
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return metav1.NewFieldsV1(string(raw)), nil
}
