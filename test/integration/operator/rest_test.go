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

// atRest is longer than the operator waits for others when it is about to write: API servers
// get ten seconds to hear of an authority.
const atRest = 15 * time.Second

// An operator that has nothing to do writes nothing: every object of the cluster but the
// leader's Lease keeps its resource version, once what the other tests left is gone.
func TestNothingIsWrittenAtRest(t *testing.T) {
	shared.activate(t, "rest")
	var before map[string]string
	var since time.Time
	last := "nothing"
	within(t, 8*atRest, func(ctx context.Context) error {
		now, err := shared.resourceVersions(ctx)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before, now); diff != "" {
			if before != nil {
				last = diff
			}
			before, since = now, time.Now()
		}
		if time.Since(since) < atRest {
			return fmt.Errorf("the cluster is not at rest for %s; the last thing written is (-before +now):\n%s", atRest, last)
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
