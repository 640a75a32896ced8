package scan

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// found is what discovery finds.
type found struct {
	groups []*metav1.APIGroup
	lists  []*metav1.APIResourceList
	err    error
}

func (f found) ServerGroupsAndResourcesWithContext(context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	return f.groups, f.lists, f.err
}

func group(name, preferred string, versions ...string) *metav1.APIGroup {
	g := &metav1.APIGroup{Name: name}
	for _, version := range versions {
		gv := metav1.GroupVersionForDiscovery{GroupVersion: schema.GroupVersion{Group: name, Version: version}.String(), Version: version}
		g.Versions = append(g.Versions, gv)
		if version == preferred {
			g.PreferredVersion = gv
		}
	}
	return g
}

var (
	podList = &metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "pods", Kind: "Pod", Namespaced: true, Verbs: metav1.Verbs{"get", "list"}, StorageVersionHash: "pod="},
		{Name: "pods/exec", Kind: "PodExecOptions", Namespaced: true, Verbs: metav1.Verbs{"create"}},
		{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: metav1.Verbs{"create"}},
	}}
	widgetList = func(version string) *metav1.APIResourceList {
		return &metav1.APIResourceList{GroupVersion: "example.com/" + version, APIResources: []metav1.APIResource{
			{Name: "widgets", Kind: "Widget", Verbs: metav1.Verbs{"list"}, StorageVersionHash: "widget="},
		}}
	}
)

func widget(version string) plan.Resource {
	return plan.Resource{
		Resource: matching.Resource{GVR: schema.GroupVersionResource{Group: "example.com", Version: version, Resource: "widgets"}, Kind: "Widget"},
		Storage:  "widget=", Listable: true,
	}
}

func TestDiscoverKeepsTheOrderOfTheAPIServer(t *testing.T) {
	got, err := discover(t.Context(), found{
		groups: []*metav1.APIGroup{group("", "v1", "v1"), group("example.com", "v1", "v2", "v1", "v1beta1")},
		lists:  []*metav1.APIResourceList{widgetList("v1beta1"), widgetList("v2"), widgetList("v1"), podList},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Resource{
		{Resource: pods, Storage: "pod=", Listable: true},
		{Resource: matching.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "bindings"}, Kind: "Binding", Namespaced: true}},
		widget("v1"), widget("v2"), widget("v1beta1"),
	}
	if diff := cmp.Diff(want, got.resources); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiscoverGoesOnWithoutAGroupThatDoesNotAnswer(t *testing.T) {
	broken, other := schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"}, schema.GroupVersion{Group: "custom.metrics.k8s.io", Version: "v1"}
	got, err := discover(t.Context(), found{
		groups: []*metav1.APIGroup{group("", "v1", "v1"), group("metrics.k8s.io", "v1beta1", "v1beta1")},
		lists:  []*metav1.APIResourceList{podList},
		err: &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{
			broken: errors.New("the server is currently unable"), other: errors.New("the server is currently unable"),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.resources) != 2 || got.unknown[broken] == nil {
		t.Errorf("resources %v, unknown %v", got.resources, got.unknown)
	}
	if diff := cmp.Diff([]schema.GroupVersion{other, broken}, got.unknownVersions()); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	_, err = discover(t.Context(), found{err: errors.New("connection refused")})
	if err == nil || !strings.Contains(err.Error(), "discover what the cluster serves: connection refused") {
		t.Errorf("error = %v", err)
	}
}
