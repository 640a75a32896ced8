//go:build integration

package apply_test

import (
	"fmt"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func TestPruneDeletesOnlyChildrenThatAreNotKept(t *testing.T) {
	in := newServer(t, "pruned", nothing)
	applier := newApplier()
	before := mustRender(t, in)
	mustApply(t, applier, in.Server, before...)
	// Same labels, but nobody's child.
	bystander := &corev1.ServiceAccount{}
	bystander.Name, bystander.Namespace = "bystander", applytest.Namespace
	bystander.Labels = render.PolicyServerLabels("pruned")
	if err := environment.Direct.Create(t.Context(), bystander); err != nil {
		t.Fatalf("create: %v", err)
	}
	settle(t, append(before, bystander)...)

	one := int32(1)
	in.Server.Spec.Replicas = &one
	in.Server.Spec.ServiceAccountName = "bystander"
	after := mustRender(t, in)
	scope := apply.Scope{
		Owner: in.Server, Namespace: applytest.Namespace,
		Labels: render.PolicyServerLabels("pruned"), Kinds: render.PolicyServerKinds(),
	}
	if err := applier.Prune(t.Context(), scope, after...); err != nil {
		t.Fatalf("prune: %v", err)
	}
	kept := map[string]bool{}
	for _, object := range after {
		kept[fmt.Sprintf("%T", object)+object.GetName()] = true
	}
	for _, object := range before {
		live, _ := object.DeepCopyObject().(client.Object)
		if got, want := exists(t, live), kept[fmt.Sprintf("%T", object)+object.GetName()]; got != want {
			t.Errorf("%T %s exists: %t, want %t", object, object.GetName(), got, want)
		}
	}
	if !exists(t, bystander) {
		t.Error("an object that only bears the labels was deleted")
	}
	settle(t, append(before, bystander)...)
	if err := applier.Prune(t.Context(), scope, after...); err != nil {
		t.Fatalf("prune again: %v", err)
	}
	if requests := environment.Requests.Take(); len(requests) > 0 {
		t.Errorf("requests at rest: %q", requests)
	}
}

func TestDelete(t *testing.T) {
	in := webhookInput("deleted")
	wanted, err := render.Webhook(in)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	validating, mutating, err := render.Webhooks(in.Policy)
	if err != nil {
		t.Fatalf("name the webhooks: %v", err)
	}
	applier := newApplier()
	t.Run("what was never there costs no request", func(t *testing.T) {
		settle(t, validating, mutating)
		if err := applier.Delete(t.Context(), nil, validating, mutating); err != nil {
			t.Fatalf("delete: %v", err)
		}
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests: %q", requests)
		}
	})
	t.Run("what was written a moment ago goes, seen or not", func(t *testing.T) {
		mustApply(t, applier, nil, wanted)
		if err := applier.Delete(t.Context(), nil, validating, mutating); err != nil {
			t.Fatalf("delete: %v", err)
		}
		live, _ := wanted.DeepCopyObject().(client.Object)
		if exists(t, live) {
			t.Error("it is still there")
		}
	})
	t.Run("what somebody else made stays", func(t *testing.T) {
		foreign := &admissionregistrationv1.MutatingWebhookConfiguration{}
		foreign.Name = mutating.GetName()
		if err := environment.Direct.Create(t.Context(), foreign); err != nil {
			t.Fatalf("create: %v", err)
		}
		settle(t, mutating)
		if err := applier.Delete(t.Context(), nil, validating, mutating); err != nil {
			t.Fatalf("delete: %v", err)
		}
		if !exists(t, foreign) {
			t.Error("it is gone")
		}
	})
}
