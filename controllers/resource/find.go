package resource

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Find reads the cluster-scoped object of that name into object and returns it; nil when
// there is none.
func Find[T any, P interface {
	*T
	client.Object
}](ctx context.Context, reader client.Reader, name string, object P) (P, error) {
	err := reader.Get(ctx, client.ObjectKey{Name: name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %T %s: %w", object, name, err)
	}
	return object, nil
}
