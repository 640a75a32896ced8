package scan

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// Lister lists objects.
type Lister interface {
	// List is a page of the objects of a resource in a namespace, "" for those of the cluster,
	// in JSON as it was sent.
	List(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) ([]byte, error)
}

// lister asks an API server.
type lister struct{ client rest.Interface }

// NewLister makes a Lister that asks the API server of config.
func NewLister(config *rest.Config) (Lister, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // for errors
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client that lists objects: %w", err)
	}
	return lister{client}, nil
}

func (l lister) List(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) ([]byte, error) {
	path := []string{"/apis", resource.Group, resource.Version}
	if resource.Group == "" {
		path = []string{"/api", resource.Version}
	}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	answer := l.client.Get().AbsPath(append(path, resource.Resource)...).
		SpecificallyVersionedParams(&options, metav1.ParameterCodec, schema.GroupVersion{Version: "v1"}).Do(ctx)
	// Only this decodes what an API server says of an error.
	if err := answer.Error(); err != nil {
		return nil, err
	}
	return answer.Raw()
}

// each lists the objects of a resource in a namespace, "" for those of the cluster, page by
// page, and calls found with each. found may keep the object.
func (s *Scanner) each(ctx context.Context, resource matching.Resource, namespace string, found func(*item) error) error {
	options := metav1.ListOptions{Limit: s.config.PageSize}
	for {
		page, err := s.page(ctx, resource.GVR, namespace, options)
		if err != nil {
			return fmt.Errorf("list %s: %w", resource.GVR.GroupResource(), err)
		}
		if err := page.each(resource.GVK(), found); err != nil {
			return err
		}
		if options.Continue = page.next; options.Continue == "" {
			return nil
		}
	}
}

// page gets one page. The token of a listing that takes long expires; the API server then
// offers one that goes on from the same place in the present state.
func (s *Scanner) page(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (page, error) {
	answer, err := s.config.Objects.List(ctx, resource, namespace, options)
	var status apierrors.APIStatus
	if apierrors.IsResourceExpired(err) && options.Continue != "" && errors.As(err, &status) && status.Status().Continue != "" {
		options.Continue = status.Status().Continue
		answer, err = s.config.Objects.List(ctx, resource, namespace, options)
	}
	if err != nil {
		return page{}, err
	}
	return parsePage(answer)
}
