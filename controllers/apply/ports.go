package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// freePorts takes out of a live Service the ports that bear the name of a rendered port and
// are not it: somebody changed the number. Server-side apply tells ports apart by number
// and protocol, would leave such a port alone, and then be refused for the name that two
// ports have.
func (a *Applier) freePorts(ctx context.Context, wanted *wanted, live client.Object) error {
	service, ok := live.(*corev1.Service)
	if !ok {
		return nil
	}
	rendered := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(wanted.object.Object, rendered); err != nil {
		return fmt.Errorf("read the rendered ports: %w", err)
	}
	operations := usurpers(rendered.Spec.Ports, service.Spec.Ports)
	if len(operations) == 0 {
		return nil
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encode the removal of changed ports: %w", err)
	}
	err = a.client.Patch(ctx, service.DeepCopy(), client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldOwner))
	if err != nil {
		return fmt.Errorf("remove changed ports: %w", err)
	}
	return nil
}

// usurpers removes, from the last to the first, the live ports that bear the name of a
// rendered port and are not rendered.
func usurpers(rendered, live []corev1.ServicePort) []operation {
	var operations []operation
	for index, port := range slices.Backward(live) {
		isRendered := slices.ContainsFunc(rendered, func(other corev1.ServicePort) bool {
			return port.Port == other.Port && port.Protocol == other.Protocol
		})
		takesName := slices.ContainsFunc(rendered, func(other corev1.ServicePort) bool { return port.Name == other.Name })
		if isRendered || !takesName {
			continue
		}
		at := fmt.Sprintf("/spec/ports/%d", index)
		operations = append(operations,
			operation{Op: "test", Path: at + "/port", Value: port.Port},
			operation{Op: "remove", Path: at})
	}
	return operations
}
