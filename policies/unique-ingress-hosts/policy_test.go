package hosts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// clusterWith is what policies read of a cluster.
type clusterWith string

func (clusterWith) Call(context.Context, host.Request) ([]byte, error) { return nil, nil }

func (c clusterWith) Inventory(context.Context, host.Request, host.Form) ([]byte, error) {
	return []byte(c), nil
}

func TestPolicy(t *testing.T) {
	const (
		ingresses = `{"ingresses":{"shop":{"web":{"spec":{"rules":[{"host":"shop.example"},{"host":"www.shop.example"}]}},"bare":{"spec":{}}},` +
			`"team":{"app":{"spec":{"rules":[{"host":"team.example"},{}]}}}}}`
		create = `{"group":"networking.k8s.io","kind":"Ingress"},"operation":"CREATE"`
		update = `{"group":"networking.k8s.io","kind":"Ingress"},"operation":"UPDATE"`
	)
	claiming := func(host string) string { return fmt.Sprintf(`{"spec":{"rules":[{},{"host":%q}]}}`, host) }
	tests := map[string]struct {
		cluster, kind, object, before string
		want                          string // nothing accepts
	}{
		"a new host":                  {ingresses, create, claiming("new.example"), "null", ""},
		"a host of this namespace":    {ingresses, create, claiming("team.example"), "null", ""},
		"a host of another namespace": {ingresses, create, claiming("Shop.example"), "null", "host shop.example belongs to Ingress web of namespace shop"},
		"two of them": {
			ingresses, create, `{"spec":{"rules":[{"host":"www.shop.example"},{"host":"shop.example"}]}}`, "null",
			"host shop.example belongs to Ingress web of namespace shop; host www.shop.example belongs to Ingress web of namespace shop",
		},
		"an update brings it":             {ingresses, update, claiming("shop.example"), claiming("new.example"), "host shop.example belongs to Ingress web of namespace shop"},
		"an update does not bring it":     {ingresses, update, claiming("shop.example"), claiming("shop.example"), ""},
		"no rules":                        {ingresses, create, `{"spec":{}}`, "null", ""},
		"no Ingress yet":                  {`{"ingresses":{}}`, create, claiming("shop.example"), "null", ""},
		"nothing, as in deletion":         {ingresses, `{"group":"networking.k8s.io","kind":"Ingress"},"operation":"DELETE"`, "null", claiming("shop.example"), ""},
		"a custom resource like that":     {ingresses, `{"group":"example.com","kind":"Ingress"}`, claiming("shop.example"), "null", ""},
		"a cluster that cannot be looked": {`{}`, create, claiming("new.example"), "null", "Ingresses are not granted: want apiVersion networking.k8s.io/v1, kind Ingress in contextAwareResources"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			engine, err := policy.NewEngine(t.Context(), policy.Config{Capabilities: map[string]host.Capability{"kubernetes": clusterWith(tc.cluster)}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := engine.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}()
			module, err := engine.Compile(t.Context(), policiestest.Module(t, "unique-ingress-hosts"))
			if err != nil {
				t.Fatal(err)
			}
			granted, err := host.NewGrants([]string{"*"}, []host.Resource{{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}})
			if err != nil {
				t.Fatal(err)
			}
			request := fmt.Appendf(nil, `{"uid":"1","kind":%s,"namespace":"team","object":%s,"oldObject":%s}`, tc.kind, tc.object, tc.before)
			got, err := module.Validate(t.Context(), policy.Call{Capabilities: granted}, json.RawMessage(request))
			if err != nil {
				t.Fatal(err)
			}
			want := protocol.ValidationResponse{Accepted: true}
			if tc.want != "" {
				want = protocol.ValidationResponse{Status: &protocol.Status{Message: &tc.want}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
