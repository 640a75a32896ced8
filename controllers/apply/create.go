package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
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
