package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

type spanKey struct{}

// inventory is a capability that must be asked within a span.
type inventory struct{ t *testing.T }

func (i inventory) within(ctx context.Context) {
	i.t.Helper()
	if ctx.Value(spanKey{}) == nil {
		i.t.Error("the capability is asked outside of the span")
	}
}

func (i inventory) Call(ctx context.Context, _ host.Request) ([]byte, error) {
	i.within(ctx)
	return []byte("{}"), nil
}

func (i inventory) Inventory(ctx context.Context, _ host.Request, _ host.Form) ([]byte, error) {
	i.within(ctx)
	return []byte("{}"), nil
}

// Calls and what stands in for them are followed with how they ended; lines of the log are not.
func TestTraceFollowsCalls(t *testing.T) {
	var ended []string
	dispatcher := host.NewDispatcher(map[string]host.Capability{"kubernetes": inventory{t}}, slog.New(slog.DiscardHandler))
	dispatcher.Trace(func(ctx context.Context, policyID, capability string) (context.Context, func(host.Result, error)) {
		return context.WithValue(ctx, spanKey{}, true), func(result host.Result, err error) {
			ended = append(ended, fmt.Sprintf("%s %s %s %t", policyID, capability, result, err == nil))
		}
	})
	session := dispatcher.Session(host.Policy{ID: "p", Grants: grants(t, "kubernetes/*")})
	for _, call := range []host.Call{
		{Binding: "kubewarden", Namespace: "kubernetes", Operation: "can_i"},
		{Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify"},
		{Binding: "kubewarden", Namespace: "who", Operation: "knows"},
		{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(`{"level":"info","message":"m"}`)},
	} {
		_, _ = session.Call(t.Context(), call) // what becomes of it is followed
	}
	if _, err := session.Inventory(t.Context(), host.FormOPA); err != nil {
		t.Error(err)
	}
	want := []string{"p kubernetes/can_i answered true", "p oci/v1/verify denied false", "p unknown denied false", "p kubernetes/list_resources_all answered true"}
	if diff := cmp.Diff(want, ended); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
