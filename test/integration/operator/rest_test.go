//go:build integration

package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An operator that has nothing to do writes nothing: every object of the cluster but the
// leader's Lease has the resource version that it had before.
func TestNothingIsWrittenAtRest(t *testing.T) {
	shared.activate(t, "rest")
	var before map[string]string
	// What the other tests left is still on its way out.
	within(t, patience, func(ctx context.Context) error {
		first, err := shared.resourceVersions(ctx)
		if err != nil {
			return err
		}
		second, err := shared.resourceVersions(ctx)
		if err != nil {
			return err
		}
		before = second
		if diff := cmp.Diff(first, second); diff != "" {
			return fmt.Errorf("the cluster is not at rest:\n%s", diff)
		}
		return nil
	})
	throughout(t, 5*time.Second, func(ctx context.Context) error {
		now, err := shared.resourceVersions(ctx)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before, now); diff != "" {
			return fmt.Errorf("something was written (-before +now):\n%s", diff)
		}
		return nil
	})
}

// resourceVersions reads the resource version of every object of the cluster.
func (c *cluster) resourceVersions(ctx context.Context) (map[string]string, error) {
	discovered, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	lists, err := discovered.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, list := range lists {
		for _, resource := range list.APIResources {
			if !strings.Contains(resource.Verbs.String(), "list") || resource.Kind == "Lease" {
				continue
			}
			if err := c.addVersions(ctx, versions, list.GroupVersion, resource); err != nil {
				return nil, err
			}
		}
	}
	return versions, nil
}

func (c *cluster) addVersions(ctx context.Context, versions map[string]string, groupVersion string, resource metav1.APIResource) error {
	objects := &unstructured.UnstructuredList{}
	objects.SetAPIVersion(groupVersion)
	objects.SetKind(resource.Kind + "List")
	err := c.admin.List(ctx, objects)
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", resource.Name, err)
	}
	for i := range objects.Items {
		object := &objects.Items[i]
		versions[fmt.Sprintf("%s %s", resource.Name, client.ObjectKeyFromObject(object))] = object.GetResourceVersion()
	}
	return nil
}
