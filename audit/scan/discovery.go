package scan

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// Discovery says what a cluster serves. It must use the older of the two formats of
// discovery (DiscoveryClient.WithLegacyWithContext): only that tells which resources are
// the same objects in different versions, by their storage version hash.
type Discovery interface {
	ServerGroupsAndResourcesWithContext(ctx context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error)
}

// served is what the cluster serves, as far as it could be found out.
type served struct {
	resources []plan.Resource
	// unknown are groups, or single versions of them, that did not answer, and why. What
	// they serve cannot be audited, and reports about it are left as they are.
	unknown map[schema.GroupVersion]error
}

// unknownVersions are those that did not answer, sorted.
func (s served) unknownVersions() []schema.GroupVersion {
	return slices.SortedFunc(maps.Keys(s.unknown), func(a, b schema.GroupVersion) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version))
	})
}

// discover reads what the cluster serves: groups in the API server's order, in each group
// the preferred version first.
func discover(ctx context.Context, client Discovery) (served, error) {
	groups, lists, err := client.ServerGroupsAndResourcesWithContext(ctx)
	unknown := map[schema.GroupVersion]error{}
	if failed, is := discovery.GroupDiscoveryFailedErrorGroups(err); is {
		unknown, err = failed, nil
	}
	if err != nil {
		return served{}, fmt.Errorf("discover what the cluster serves: %w", err)
	}
	byVersion := map[string]*metav1.APIResourceList{}
	for _, list := range lists {
		byVersion[list.GroupVersion] = list
	}
	s := served{unknown: unknown}
	for _, version := range inOrder(groups) {
		if list := byVersion[version]; list != nil {
			s.resources = append(s.resources, resources(list)...)
		}
	}
	return s, nil
}

// inOrder lists group versions, the preferred one of each group first.
func inOrder(groups []*metav1.APIGroup) []string {
	var versions []string
	for _, group := range groups {
		preferred := group.PreferredVersion.GroupVersion
		versions = append(versions, preferred)
		for _, version := range group.Versions {
			if version.GroupVersion != preferred {
				versions = append(versions, version.GroupVersion)
			}
		}
	}
	return versions
}

func resources(list *metav1.APIResourceList) []plan.Resource {
	version, err := schema.ParseGroupVersion(list.GroupVersion)
	if err != nil {
		return nil
	}
	var found []plan.Resource
	for i := range list.APIResources {
		r := &list.APIResources[i]
		if strings.Contains(r.Name, "/") {
			continue
		}
		found = append(found, plan.Resource{
			Resource: matching.Resource{
				GVR:        version.WithResource(r.Name),
				Kind:       r.Kind,
				Namespaced: r.Namespaced,
			},
			Storage:  r.StorageVersionHash,
			Listable: slices.Contains(r.Verbs, "list"),
		})
	}
	return found
}
