package policiestest

import (
	"context"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// Compiled is a policy as a policy server runs it, until the test ends.
func Compiled(t testing.TB, name string) *policy.Module {
	t.Helper()
	engine, err := policy.NewEngine(t.Context(), policy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	module, err := engine.Compile(t.Context(), Module(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return module
}
