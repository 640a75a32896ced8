package objects

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// kind is what the API server says of a kind of objects.
type kind struct {
	host.Resource

	resource   schema.GroupVersionResource
	namespaced bool
	// listed says whether objects of it can be listed and watched.
	listed bool
}

// String is the kind as upstream's messages name it.
func (k kind) String() string { return k.APIVersion + "/" + k.Kind }

// kinds are those that were asked for. What the API server serves once it serves for ever;
// what it does not serve is asked for again.
type kinds struct {
	client discovery.ServerResourcesInterfaceWithContext

	mu    sync.Mutex
	known map[host.Resource]kind
}

func newKinds(client discovery.DiscoveryInterface) *kinds {
	return &kinds{client: discovery.ToServerResourcesInterfaceWithContext(client), known: map[host.Resource]kind{}}
}

// find says what the API server calls the kind.
func (k *kinds) find(ctx context.Context, wanted host.Resource) (kind, error) {
	k.mu.Lock()
	found, known := k.known[wanted]
	k.mu.Unlock()
	if known {
		return found, nil
	}
	version, err := schema.ParseGroupVersion(wanted.APIVersion)
	if err != nil {
		return kind{}, host.RefusalError(fmt.Sprintf("api_version is %.256q: %v", wanted.APIVersion, err))
	}
	served, err := k.client.ServerResourcesForGroupVersionWithContext(ctx, wanted.APIVersion)
	if err != nil {
		return kind{}, fmt.Errorf("error finding resource %s / %s: %w", wanted.APIVersion, wanted.Kind, err)
	}
	for i := range served.APIResources {
		resource := &served.APIResources[i]
		if resource.Kind != wanted.Kind || strings.Contains(resource.Name, "/") {
			continue
		}
		found = kind{
			wanted, version.WithResource(resource.Name), resource.Namespaced,
			slices.Contains(resource.Verbs, "list") && slices.Contains(resource.Verbs, "watch"),
		}
		k.mu.Lock()
		k.known[wanted] = found
		k.mu.Unlock()
		return found, nil
	}
	return kind{}, fmt.Errorf("Cannot find resource %s/%s", wanted.APIVersion, wanted.Kind) //nolint:staticcheck // upstream's text, known to users
}
