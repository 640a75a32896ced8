package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// CreateMissing creates the objects that do not exist, without an owner, and leaves those
// that do as they are, whoever made them. It is for what others share and rely on, and is
// never applied, pruned or deleted.
func (a *Applier) CreateMissing(ctx context.Context, objects ...client.Object) error {
	var failures []error
	for _, object := range objects {
		err := a.client.Create(ctx, object, client.FieldOwner(FieldOwner))
		if err == nil || apierrors.IsAlreadyExists(err) {
			continue
		}
		kind := fmt.Sprintf("%T", object)
		if gvk, unknown := apiutil.GVKForObject(object, a.client.Scheme()); unknown == nil {
			kind = gvk.Kind
		}
		failures = append(failures, fmt.Errorf("create %s %s: %w", kind, client.ObjectKeyFromObject(object), err))
	}
	return errors.Join(failures...)
}

// CreateByName creates an object that was not seen, without an owner, as CreateMissing does.
// It does so by server-side apply, so that the right to do it can name the object: a right to
// create cannot be bound to a name otherwise. One that exists after all and says something
// else is left as it is.
func (a *Applier) CreateByName(ctx context.Context, object render.Object) error {
	wanted, err := newWanted(a.client.Scheme(), nil, object)
	if err != nil {
		return fmt.Errorf("prepare %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	err = a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(wanted.object), client.FieldOwner(FieldOwner))
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("create %s: %w", wanted, err)
	}
	return nil
}
