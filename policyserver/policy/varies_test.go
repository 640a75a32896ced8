package policy_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// commandReadingClock asks for the time by a clock, and accepts.
func commandReadingClock(clock int32) []byte {
	c := wasmtest.NewCommand()
	now := c.Import("wasi_snapshot_preview1", "clock_time_get", c.Type([]byte{wasmtest.I32, wasmtest.I64, wasmtest.I32}, []byte{wasmtest.I32}))
	accept := c.Print(1, `{"accepted":true}`)
	return c.Bytes(wasmtest.I32Const(clock), wasmtest.I64Const(0), wasmtest.I32Const(8), wasmtest.Call(now), wasmtest.Drop, slices.Clone(accept))
}

// acceptingAfter asks the host for something once, and accepts whatever it answers.
func acceptingAfter(namespace, operation, payload string) []byte {
	g := wasmtest.NewGuest()
	return g.OnValidate(g.CallHost(namespace, operation, payload), wasmtest.Drop, g.Respond(`{"accepted":true}`)).Bytes()
}

// TestValidateSaysWhetherTheAnswerMayVary holds what an audit relies on: an answer that
// followed from the request alone is told apart from one for which the host was asked.
func TestValidateSaysWhetherTheAnswerMayVary(t *testing.T) {
	granted, err := host.NewGrants([]string{"*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		module []byte
		want   bool
	}{
		"accepts":                        {wasmtest.Accepting(), false},
		"writes a line in the log":       {acceptingAfter("tracing", "log", `{"level":"INFO","message":"m"}`), false},
		"asks the host":                  {acceptingAfter("kubernetes", "can_i", `{}`), true},
		"asks for what there is not":     {acceptingAfter("oracle", "ask", `{}`), true},
		"Rego":                           {answeringRego(t, `{"uid": "", "allowed": input.request.a == 1}`), false},
		"Rego that computes with times":  {answeringRego(t, `{"uid": "", "allowed": time.parse_rfc3339_ns("2026-01-02T03:04:05Z") > 0}`), false},
		"Rego that asks what time it is": {answeringRego(t, `{"uid": "", "allowed": time.now_ns() > 0}`), true},
		"a command":                      {commandReadingClock(1), false},
		"a command that asks for a date": {commandReadingClock(0), true},
	}
	engine := newEngine(t, policy.Config{Capabilities: map[string]host.Capability{"kubernetes": verdict{}}})
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, tc.module)
			varies := false
			_, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.p", Capabilities: granted, Varies: &varies}, json.RawMessage(`{"a":1}`))
			if varies != tc.want {
				t.Errorf("varies = %t, want %t; error %v", varies, tc.want, err)
			}
		})
	}
}
