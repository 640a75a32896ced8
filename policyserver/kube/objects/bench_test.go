package objects

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// manyBindings is a store of 10,000 RoleBindings in 100 namespaces.
func manyBindings(b *testing.B) *store {
	b.Helper()
	const apiVersion = "rbac.authorization.k8s.io/v1"
	of := newStore(kind{
		Resource: host.Resource{APIVersion: apiVersion, Kind: "RoleBinding"}, namespaced: true,
		resource: schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	})
	if err := of.Replace(nil, ""); err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": apiVersion, "kind": "RoleBinding",
			"metadata": map[string]any{
				"name": fmt.Sprintf("binding-%05d", i), "namespace": fmt.Sprintf("team-%02d", i%100), "uid": fmt.Sprintf("00000000-0000-0000-0000-%012d", i),
				"resourceVersion": "123456", "creationTimestamp": "2026-06-01T00:00:00Z", "labels": map[string]any{"team": fmt.Sprint(i % 100)},
			},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": fmt.Sprintf("account-%05d", i), "namespace": fmt.Sprintf("team-%02d", i%100)}},
		}}
		if err := of.Add(object); err != nil {
			b.Fatal(err)
		}
	}
	return of
}

// touch changes one object.
func touch(b *testing.B, of *store) {
	b.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "binding-00007", "namespace": "team-07"}}}
	if err := of.Update(object); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkList asks for 10,000 objects: again while nothing has changed, and after a change.
func BenchmarkList(b *testing.B) {
	of := manyBindings(b)
	_, size := of.held()
	for name, payload := range map[string]string{
		"all":        `{"api_version":"rbac.authorization.k8s.io/v1","kind":"RoleBinding"}`,
		"one label":  `{"api_version":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","label_selector":"team=7"}`,
		"one field":  `{"api_version":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","field_masks":["subjects.name"]}`,
		"one object": `{"api_version":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","field_selector":"metadata.name=binding-00007"}`,
	} {
		asked, err := decodeList([]byte(payload), false)
		if err != nil {
			b.Fatal(err)
		}
		for _, changes := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/changed=%v", name, changes), func(b *testing.B) {
				b.ReportMetric(float64(size), "held-bytes")
				for b.Loop() {
					if changes {
						touch(b, of)
					}
					if _, err := of.list(asked); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkInventory makes the data of policies in Rego that read 10,000 objects.
func BenchmarkInventory(b *testing.B) {
	stores := []*store{manyBindings(b)}
	for _, form := range []host.Form{host.FormOPA, host.FormGatekeeper} {
		for _, changes := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/changed=%v", form, changes), func(b *testing.B) {
				made := &document{}
				for b.Loop() {
					if changes {
						touch(b, stores[0])
					}
					if _, err := made.of(form, stores); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
