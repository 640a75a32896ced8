package scan

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// each lists the objects of a resource in a namespace, "" for those of the cluster, page by
// page, and calls found with each. found may keep the object.
func (s *Scanner) each(ctx context.Context, resource matching.Resource, namespace string, found func(*unstructured.Unstructured) error) error {
	var lister dynamic.ResourceInterface = s.config.Dynamic.Resource(resource.GVR)
	if namespace != "" {
		lister = s.config.Dynamic.Resource(resource.GVR).Namespace(namespace)
	}
	for token := ""; ; {
		page, err := list(ctx, lister, metav1.ListOptions{Limit: s.config.PageSize, Continue: token})
		if err != nil {
			return fmt.Errorf("list %s: %w", resource.GVR.GroupResource(), err)
		}
		for i := range page.Items {
			if err := found(&page.Items[i]); err != nil {
				return err
			}
		}
		if token = page.GetContinue(); token == "" {
			return nil
		}
	}
}

// list gets one page. The token of a listing that takes long expires; the API server then
// offers one that goes on from the same place in the present state.
func list(ctx context.Context, lister dynamic.ResourceInterface, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	page, err := lister.List(ctx, options)
	var status apierrors.APIStatus
	if !apierrors.IsResourceExpired(err) || options.Continue == "" || !errors.As(err, &status) || status.Status().Continue == "" {
		return page, err
	}
	options.Continue = status.Status().Continue
	return lister.List(ctx, options)
}
