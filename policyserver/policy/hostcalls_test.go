package policy_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// reads answers with 33 bytes to whom it lets read Pods of namespace "mine".
type reads struct{}

func (reads) Call(_ context.Context, request host.Request) ([]byte, error) {
	return []byte(strings.Repeat("x", 33)), request.CheckRead(host.Resource{APIVersion: "v1", Kind: "Pod"}, "mine")
}

// The gate is the same whatever a guest is written in, and the guest gets to see why.
func TestTheGateOfHostCalls(t *testing.T) {
	g := wasmtest.NewGuest()
	wapc := g.OnValidate(g.CallHost("kubernetes", "get_resource", `{"a":1}`), wasmtest.IfI32(g.RespondHost(), wasmtest.Else, g.FailHost())).Bytes()
	const violation = "Policy has not been granted access to "
	tests := map[string]struct {
		limits   host.Limits
		domain   string
		patterns []string
		kind     string
		want     string
	}{
		"the capability is not granted": {
			patterns: []string{"oci/*"}, kind: "Pod", want: violation + "the 'kubernetes/get_resource' host capability. The violation has been reported. " +
				"Missing grant: 'kubernetes/get_resource' in hostCapabilities of the policy",
		},
		"nor to a policy of a namespace": {
			domain: "mine", kind: "Pod", want: violation + "the 'kubernetes/get_resource' host capability. The violation has been reported. " +
				"Missing grant: 'kubernetes/get_resource' in namespacedPoliciesCapabilities of its PolicyServer",
		},
		"the kind is not granted": {
			patterns: []string{"*"}, kind: "Secret", want: violation + "Kubernetes v1/Pod resources. The violation has been reported. " +
				"Missing grant: apiVersion 'v1', kind 'Pod' in contextAwareResources of the policy",
		},
		"the namespace is out of scope": {
			domain: "other", patterns: []string{"*"}, kind: "Pod", want: violation + "Kubernetes v1/Pod resources. The violation has been reported. " +
				"It asked about namespace 'mine', and as a policy of namespace 'other' may ask about that namespace alone",
		},
		"the payload is too large": {
			limits: host.Limits{Payload: 6}, patterns: []string{"*"}, kind: "Pod",
			want: "the payload of host call 'kubernetes/get_resource' has 7 bytes, at most 6 are allowed",
		},
		"the reply is too large": {
			limits: host.Limits{Reply: 32}, patterns: []string{"*"}, kind: "Pod",
			want: "the reply to host call 'kubernetes/get_resource' has 33 bytes, at most 32 are allowed",
		},
	}
	c := wasmtest.NewCommand()
	ask := c.CallHost("kubernetes", "get_resource", `{"a":1}`)
	skip := slices.Concat( // the question, so that the answer is all that is left
		wasmtest.I32Const(0), wasmtest.I32Const(wasmtest.AddressList), wasmtest.I32Const(1), wasmtest.I32Const(wasmtest.AddressList+4),
		wasmtest.Call(c.Read), wasmtest.Drop)
	command := c.Bytes(skip, echoAfter(c, ask))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			engine := newEngine(t, policy.Config{HostLimits: tc.limits, Capabilities: map[string]host.Capability{"kubernetes": reads{}}})
			granted, err := host.NewGrants(tc.patterns, []host.Resource{{APIVersion: "v1", Kind: tc.kind}})
			if err != nil {
				t.Fatal(err)
			}
			call := policy.Call{PolicyID: "p", Domain: tc.domain, Capabilities: granted}
			_, err = compile(t, engine, wapc).Validate(t.Context(), call, json.RawMessage(`{}`))
			checkError(t, err, &wantError{policy.KindGuest, "internal server error: Guest call failure: " + tc.want})
			_, err = compile(t, engine, command).Validate(t.Context(), call, json.RawMessage(`{}`))
			checkError(t, err, &wantError{policy.KindGuest, tc.want})
		})
	}
}
