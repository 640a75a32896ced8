package policy_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// Where memory cannot be restored, as on every system but Linux, each call has an instance of
// its own, of every kind of module and for every policy. A log says so, once.
func TestWithoutSnapshotsInstancesAreFresh(t *testing.T) {
	log := &bytes.Buffer{}
	engine := newEngine(t, policy.Config{
		Snapshots: func() (*snapshot.System, error) { return nil, snapshot.ErrUnsupported },
		Logger:    slog.New(slog.NewTextHandler(log, nil)),
	})
	const warning = `level=WARN msg="instances of policies are made afresh for each call: memory cannot be restored here" error="snapshots of memory are supported on Linux only"`
	if got := strings.Count(log.String(), warning); got != 1 {
		t.Errorf("the log says %d times that memory cannot be restored, want once:\n%s", got, log)
	}
	// once traps when it runs in an instance for the second time.
	const mark = 50_000
	once := slices.Concat(I32Const(mark), I32Load8, If(Unreachable), I32Const(mark), I32Const(1), I32Store8)
	guest := NewGuest()
	guest.OnValidate(once, guest.Respond(`{"accepted":true}`))
	opa := NewRego("opa")
	opa.Eval = slices.Concat(once, I32Const(0))
	modules := map[string][]byte{
		"a guest": guest.Bytes(), "a policy in Rego": opa.Bytes(),
		"a command": commandOf(func(c *Command) []byte { return slices.Concat(once, c.Print(1, `{"accepted":true}`)) }),
	}
	const calls = 3
	for name, binary := range modules {
		module := compile(t, engine, binary)
		defer module.Close(t.Context())
		isolated, err := module.Isolate(t.Context(), policy.Call{}, policy.IsolationWarm)
		if err != nil {
			t.Fatal(err)
		}
		defer isolated.Close(t.Context())
		for range calls {
			for _, asked := range []*policy.Module{module, isolated} {
				response, err := asked.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
				if err != nil || !response.Accepted {
					t.Errorf("%s: got %+v, %v, want it accepted", name, response, err)
				}
			}
		}
	}
	stats, all := engine.Stats(), uint64(2*calls*len(modules))
	if stats.Isolation != policy.IsolationFresh || stats.Method != "none" {
		t.Errorf("the engine does %s by %s, want %s by none", stats.Isolation, stats.Method, policy.IsolationFresh)
	}
	if stats.Taken[policy.IsolationFresh] != all || stats.Fresh != all || stats.Made != 0 || stats.Restores != 0 || stats.Idle != 0 {
		t.Errorf("got %+v, want %d fresh instances and no others", stats, all)
	}
	if stats.Warm != 0 || stats.NotWarm[policy.NotWarmFresh] != uint64(len(modules)) {
		t.Errorf("got %d warm policies, %v that are not; want none and %d because they are fresh", stats.Warm, stats.NotWarm, len(modules))
	}
}
