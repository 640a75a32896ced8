package apply

import (
	"errors"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// ForeignError says that an object of a rendered name exists and belongs to somebody
// else. It was not touched; only a person can decide which of the two has to go.
type ForeignError struct {
	// Object is the kind, namespace and name of the object.
	Object string
	// Controller is the kind and name of what controls it; empty when nothing does.
	Controller string
	// Predecessor says that what controls it is an earlier object of the kind and name of
	// the owner: it is left over, and goes by itself.
	Predecessor bool
}

// Error tells a user what is in the way and what to do.
func (e *ForeignError) Error() string {
	if e.Predecessor {
		return fmt.Sprintf("%s belongs to an earlier %s, which was deleted, and waits to be garbage collected", e.Object, e.Controller)
	}
	if e.Controller != "" {
		return fmt.Sprintf("%s belongs to %s and is left alone: rename one of the two owners", e.Object, e.Controller)
	}
	return e.Object + " was not made by this operator and is left alone: delete or rename it"
}

// checkOurs returns a *ForeignError unless the live object may be written over: it bears
// our label or a reference to the owner, or has fields that we applied, and nobody else
// controls it. The third is for an object that somebody took our label off.
func checkOurs(name string, live, owner client.Object) error {
	owned := false
	for _, reference := range live.GetOwnerReferences() {
		if owner != nil && reference.UID == owner.GetUID() {
			owned = true
			continue
		}
		if reference.Controller != nil && *reference.Controller {
			return &ForeignError{Object: name, Controller: reference.Kind + " " + reference.Name}
		}
	}
	if owned || render.IsOurs(live.GetLabels()) || applied(live) {
		return nil
	}
	return &ForeignError{Object: name}
}

// checkReplaceable is checkOurs for an object that is to be written over. What upstream made
// may be, where nobody controls it. It knows the kind of the owner, and so whether another
// owner is its predecessor: two objects of one kind and name cannot exist at once.
func checkReplaceable(wanted *wanted, live, owner client.Object) error {
	err := checkOurs(wanted.String(), live, owner)
	foreign, ok := errors.AsType[*ForeignError](err)
	controller := metav1.GetControllerOf(live)
	if !ok || controller == nil {
		if inherited(wanted, live) {
			return nil
		}
		return err
	}
	for _, reference := range wanted.object.GetOwnerReferences() {
		foreign.Predecessor = foreign.Predecessor || reference.Name == controller.Name && reference.Kind == controller.Kind &&
			reference.APIVersion == controller.APIVersion
	}
	return foreign
}

// inherited says whether upstream made an object, for what it is wanted for now.
func inherited(wanted *wanted, live client.Object) bool {
	if !render.IsUpstreams(live) {
		return false
	}
	if wanted.gvk.Group != admissionregistrationv1.GroupName {
		return true
	}
	// The name is the policy's ID, which is no other's.
	return live.GetAnnotations()[render.AnnotationPolicyName] == wanted.object.GetAnnotations()[render.AnnotationPolicyName] &&
		live.GetAnnotations()[render.AnnotationPolicyNamespace] == wanted.object.GetAnnotations()[render.AnnotationPolicyNamespace]
}

// applied says whether the object has fields that we applied. Caches may not tell; the
// API server does.
func applied(live client.Object) bool {
	return slices.ContainsFunc(live.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply
	})
}

// ownerReference makes owner the controller of an object. blockOwnerDeletion stays out: it
// would ask for the right to update the owner's finalizers, and order on deletion is kept
// by our own finalizer.
func ownerReference(scheme *runtime.Scheme, owner client.Object) (metav1.OwnerReference, error) {
	gvk, err := apiutil.GVKForObject(owner, scheme)
	if err != nil {
		return metav1.OwnerReference{}, fmt.Errorf("find the kind of the owner: %w", err)
	}
	return metav1.OwnerReference{
		APIVersion: gvk.GroupVersion().String(),
		Kind:       gvk.Kind,
		Name:       owner.GetName(),
		UID:        owner.GetUID(),
		Controller: new(true),
	}, nil
}
