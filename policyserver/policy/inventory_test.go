package policy_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// stocked has a document of 33 bytes for those who may read Namespaces of the whole cluster.
type stocked struct{ reads }

func (stocked) Inventory(_ context.Context, request host.Request, form host.Form) ([]byte, error) {
	for _, resource := range request.Grants.Resources() {
		if err := request.CheckRead(resource, host.ScopeCluster); err != nil {
			return nil, err
		}
	}
	document := `{"form":"` + string(form) + `","n":1`
	return []byte(document + strings.Repeat(" ", 32-len(document)) + "}"), nil
}

// hanging never answers.
type hanging struct{}

func (hanging) Call(ctx context.Context, _ host.Request) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (h hanging) Inventory(ctx context.Context, request host.Request, _ host.Form) ([]byte, error) {
	return h.Call(ctx, request)
}

func readingNamespaces(t *testing.T, patterns ...string) host.Grants {
	t.Helper()
	granted, err := host.NewGrants(patterns, []host.Resource{{APIVersion: "v1", Kind: "Namespace"}})
	if err != nil {
		t.Fatal(err)
	}
	return granted
}

// regoReaders accept when they find the document where it belongs, and their settings as well.
func regoReaders(t *testing.T) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"opa": regoModule(t, metadata.ModeOPA,
			`main := {"response": {"uid": "", "allowed": data.kubernetes == {"form": "opa", "n": 1}}} if data.limit == 3`),
		"gatekeeper": regoModule(t, metadata.ModeGatekeeper,
			`violation[{"msg": "no inventory"}] { not data.inventory == {"form": "gatekeeper", "n": 1} }`+"\n"+
				`violation[{"msg": "no parameters"}] { not input.parameters.limit == 3 }`),
	}
}

// Policies in Rego find what they read in their data.
func TestRegoReadsItsInventory(t *testing.T) {
	engine := newEngine(t, policy.Config{Capabilities: map[string]host.Capability{"kubernetes": stocked{}}})
	for name, binary := range regoReaders(t) {
		t.Run(name, func(t *testing.T) {
			varies := false
			call := policy.Call{
				Settings: json.RawMessage(`{"limit":3,"kubernetes":"overwritten"}`), Capabilities: readingNamespaces(t, "kubernetes/*"), Varies: &varies,
			}
			got, err := compile(t, engine, binary).Validate(t.Context(), call, json.RawMessage(`{"uid":""}`))
			checkError(t, err, nil)
			if !got.Accepted || !varies {
				t.Errorf("got %+v, varies %v; want an acceptance that varies", got, varies)
			}
		})
	}
}

// The gate is the same for policies in Rego as for those that call.
func TestTheGateOfInventories(t *testing.T) {
	const violation = "internal server error: Policy has not been granted access to "
	tests := map[string]struct {
		limits       host.Limits
		domain       string
		grants       host.Grants
		capabilities map[string]host.Capability
		want         string
	}{
		"the capability is not granted": {
			grants: readingNamespaces(t, "kubernetes/can_i"), want: violation + "the 'kubernetes/list_resources_all' host capability. The violation has been reported. " +
				"Missing grant: 'kubernetes/list_resources_all' in hostCapabilities of the policy",
		},
		"the namespace is out of scope": {
			domain: "mine", grants: readingNamespaces(t, "*"), want: violation + "Kubernetes v1/Namespace resources. The violation has been reported. " +
				"It asked about the whole cluster, and as a policy of namespace 'mine' may ask about that namespace alone",
		},
		"the document is too large": {
			limits: host.Limits{Reply: 32}, grants: readingNamespaces(t, "*"),
			want: "internal server error: the reply to host call 'kubernetes/list_resources_all' has 33 bytes, at most 32 are allowed",
		},
		"there is no cluster": {
			grants: readingNamespaces(t, "*"), capabilities: map[string]host.Capability{},
			want: "internal server error: contextAwareResources are not provided here: host capability 'kubernetes/list_resources_all' is not provided here",
		},
	}
	modules := regoReaders(t)
	for name, tc := range tests {
		if tc.capabilities == nil {
			tc.capabilities = map[string]host.Capability{"kubernetes": stocked{}}
		}
		engine := newEngine(t, policy.Config{HostLimits: tc.limits, Capabilities: tc.capabilities})
		for mode, binary := range modules {
			t.Run(name+"/"+mode, func(t *testing.T) {
				call := policy.Call{PolicyID: "p", Domain: tc.domain, Capabilities: tc.grants}
				_, err := compile(t, engine, binary).Validate(t.Context(), call, json.RawMessage(`{}`))
				checkError(t, err, &wantError{policy.KindGuest, tc.want})
			})
		}
	}
}

// A capability that never answers takes no more than the time of the evaluation, whatever
// the guest is written in.
func TestHostCallsEndAtTheDeadline(t *testing.T) {
	g := wasmtest.NewGuest()
	c := wasmtest.NewCommand()
	modules := regoReaders(t)
	modules["wapc"] = g.OnValidate(g.CallHost("kubernetes", "list_resources_all", `{}`), wasmtest.IfI32(g.RespondHost(), wasmtest.Else, g.FailHost())).Bytes()
	modules["wasi"] = c.Bytes(c.CallHost("kubernetes", "list_resources_all", `{}`), wasmtest.Drop, c.Print(1, `{"accepted":true}`))
	engine := newEngine(t, policy.Config{Capabilities: map[string]host.Capability{"kubernetes": hanging{}}})
	for name, binary := range modules {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, binary)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := module.Validate(ctx, policy.Call{Capabilities: readingNamespaces(t, "*")}, json.RawMessage(`{}`))
			checkError(t, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
		})
	}
}
