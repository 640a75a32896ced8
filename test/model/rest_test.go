//go:build integration

package model

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// discover finds every kind whose objects are compared at rest: all that can be listed, but
// Leases, which move.
func (w *world) discover() error {
	discovered, err := discovery.NewDiscoveryClientForConfig(w.cluster.Config)
	if err != nil {
		return err
	}
	lists, err := discovered.ServerPreferredResources()
	if err != nil {
		return fmt.Errorf("discover all kinds: %w", err)
	}
	for _, found := range lists {
		version, err := schema.ParseGroupVersion(found.GroupVersion)
		if err != nil {
			return err
		}
		for i := range found.APIResources {
			if resource := &found.APIResources[i]; slices.Contains(resource.Verbs, "list") && resource.Kind != "Lease" {
				list := &metav1.PartialObjectMetadataList{}
				list.SetGroupVersionKind(version.WithKind(resource.Kind))
				w.listed = append(w.listed, list)
			}
		}
	}
	return nil
}

func (w *world) list(ctx context.Context, of client.ObjectList) ([]metav1.PartialObjectMetadata, error) {
	kind := of.GetObjectKind().GroupVersionKind()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	err := w.admin().List(ctx, list)
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind.Kind, err)
	}
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(kind)
	}
	return list.Items, nil
}

// resourceVersions are those of every object of the cluster.
func (w *world) resourceVersions(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	for _, list := range w.listed {
		objects, err := w.list(ctx, list)
		if err != nil {
			return nil, err
		}
		for i := range objects {
			object := &objects[i]
			versions[fmt.Sprintf("%s %s", object.Kind, client.ObjectKeyFromObject(object))] = object.ResourceVersion
		}
	}
	return versions, nil
}

// compare complains about an object that was written.
func compare(before, after map[string]string) error {
	for name, version := range after {
		if before[name] != version {
			return fmt.Errorf("%s was written at rest", name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			return fmt.Errorf("%s was deleted at rest", name)
		}
	}
	return nil
}
