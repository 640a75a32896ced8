package nodeport_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

func TestPolicy(t *testing.T) {
	accepted := protocol.ValidationResponse{Accepted: true}
	tests := map[string]struct {
		kind, object string
		want         protocol.ValidationResponse
	}{
		"NodePort": {
			`{"group":"","kind":"Service"}`, `{"spec":{"type":"NodePort"}}`,
			protocol.ValidationResponse{Status: &protocol.Status{Message: new("Services of type NodePort are not allowed")}},
		},
		"ClusterIP":                   {`{"group":"","kind":"Service"}`, `{"spec":{"type":"ClusterIP"}}`, accepted},
		"LoadBalancer":                {`{"group":"","kind":"Service"}`, `{"spec":{"type":"LoadBalancer"}}`, accepted},
		"no type":                     {`{"group":"","kind":"Service"}`, `{"spec":{}}`, accepted},
		"nothing, as in deletion":     {`{"group":"","kind":"Service"}`, `null`, accepted},
		"a custom resource like that": {`{"group":"example.com","kind":"Service"}`, `{"spec":{"type":"NodePort"}}`, accepted},
	}
	module := policiestest.Compiled(t, "disallow-service-nodeport")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			request := fmt.Appendf(nil, `{"uid":"1","kind":%s,"object":%s}`, tc.kind, tc.object)
			got, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(request))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
