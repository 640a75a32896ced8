package apply

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Server-side apply tells the ports of a Service apart by number and protocol. Of a port
// whose number somebody changed it knows nothing: it would leave it alone, add the rendered
// one, and be refused for the name that two ports have then. So such a port gives its name
// up before the apply and goes after it, with all others that are not rendered. It cannot
// go before: a Service must not be without ports, not even for a moment.

// freeNames renames the ports of a live Service that would be in the way.
func (a *Applier) freeNames(ctx context.Context, wanted *wanted, live client.Object) error {
	service, ok := live.(*corev1.Service)
	if !ok {
		return nil
	}
	rendered, err := portsOf(wanted.object)
	if err != nil {
		return err
	}
	operations := renamings(rendered, service.Spec.Ports)
	if err := a.patch(ctx, service.DeepCopy(), operations); err != nil {
		return fmt.Errorf("rename changed ports: %w", err)
	}
	return nil
}

// removePorts takes out of a Service the ports that are not rendered. They would shift
// those that are, and others go by the order. reply is the object after the apply, and
// becomes the object after the removal.
func (a *Applier) removePorts(ctx context.Context, wanted *wanted, reply *unstructured.Unstructured) error {
	if wanted.gvk != corev1.SchemeGroupVersion.WithKind("Service") {
		return nil
	}
	rendered, err := portsOf(wanted.object)
	if err != nil {
		return err
	}
	live, err := portsOf(reply)
	if err != nil {
		return err
	}
	if err := a.patch(ctx, reply, removals(rendered, live)); err != nil {
		return fmt.Errorf("remove ports that others added: %w", err)
	}
	return nil
}

func portsOf(object *unstructured.Unstructured) ([]corev1.ServicePort, error) {
	service := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service); err != nil {
		return nil, fmt.Errorf("read the ports of Service %s: %w", client.ObjectKeyFromObject(object), err)
	}
	return service.Spec.Ports, nil
}

// samePort says whether server-side apply takes two ports for one.
func samePort(a, b corev1.ServicePort) bool { return a.Port == b.Port && a.Protocol == b.Protocol }

func isRendered(rendered []corev1.ServicePort, port corev1.ServicePort) bool {
	return slices.ContainsFunc(rendered, func(other corev1.ServicePort) bool { return samePort(other, port) })
}

// renamings gives names that no rendered port has to the live ports that are not rendered
// and bear the name of one that is, or none: among several, each port needs a name.
func renamings(rendered, live []corev1.ServicePort) []operation {
	var operations []operation
	for index, port := range live {
		takesName := slices.ContainsFunc(rendered, func(other corev1.ServicePort) bool { return port.Name == other.Name })
		if isRendered(rendered, port) || port.Name != "" && !takesName {
			continue
		}
		at := fmt.Sprintf("/spec/ports/%d", index)
		operations = append(operations,
			operation{Op: "test", Path: at + "/port", Value: port.Port},
			operation{Op: "add", Path: at + "/name", Value: fmt.Sprintf("replaced-%d", index)})
	}
	return operations
}

// removals removes, from the last to the first, the live ports that are not rendered.
func removals(rendered, live []corev1.ServicePort) []operation {
	var operations []operation
	for index, port := range slices.Backward(live) {
		if isRendered(rendered, port) {
			continue
		}
		at := fmt.Sprintf("/spec/ports/%d", index)
		operations = append(operations,
			operation{Op: "test", Path: at + "/port", Value: port.Port},
			operation{Op: "remove", Path: at})
	}
	return operations
}
