package policy_test

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// readingClock is code that asks for the time by a clock.
func readingClock(m *wasmtest.Module, clock int32) []byte {
	now := m.Import("wasi_snapshot_preview1", "clock_time_get", m.Type([]byte{wasmtest.I32, wasmtest.I64, wasmtest.I32}, []byte{wasmtest.I32}))
	return slices.Concat(wasmtest.I32Const(clock), wasmtest.I64Const(0), wasmtest.I32Const(8), wasmtest.Call(now), wasmtest.Drop)
}

// commandReadingClock asks for the time by a clock, and accepts.
func commandReadingClock(clock int32) []byte {
	c := wasmtest.NewCommand()
	read := readingClock(c.Module, clock)
	return c.Bytes(read, c.Print(1, `{"accepted":true}`))
}

// commandThatWaits asks for the date before or after it reads the request, and accepts.
func commandThatWaits(clockFirst bool) []byte {
	c := wasmtest.NewCommand()
	clock := readingClock(c.Module, 0)
	list := binary.LittleEndian.AppendUint32(nil, wasmtest.AddressBuffer)
	c.Data(wasmtest.AddressList, binary.LittleEndian.AppendUint32(list, wasmtest.BufferSize))
	request := slices.Concat(wasmtest.I32Const(0), wasmtest.I32Const(wasmtest.AddressList), wasmtest.I32Const(1),
		wasmtest.I32Const(wasmtest.AddressList+4), wasmtest.Call(c.Read), wasmtest.Drop)
	accept := c.Print(1, `{"accepted":true}`)
	if clockFirst {
		return c.Bytes(clock, request, accept)
	}
	return c.Bytes(request, clock, accept)
}

// guestReadingClock asks for the date when it is initialised, and accepts.
func guestReadingClock() []byte {
	g := wasmtest.NewGuest()
	clock := readingClock(g.Module, 0)
	return g.OnInit("_initialize", clock).OnValidate(g.Respond(`{"accepted":true}`)).Bytes()
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
		"accepts":                         {wasmtest.Accepting(), false},
		"writes a line in the log":        {acceptingAfter("tracing", "log", `{"level":"INFO","message":"m"}`), false},
		"asks the host":                   {acceptingAfter("kubernetes", "can_i", `{}`), true},
		"asks for what there is not":      {acceptingAfter("oracle", "ask", `{}`), true},
		"Rego":                            {answeringRego(t, `{"uid": "", "allowed": input.request.a == 1}`), false},
		"Rego that computes with times":   {answeringRego(t, `{"uid": "", "allowed": time.parse_rfc3339_ns("2026-01-02T03:04:05Z") > 0}`), false},
		"Rego that asks what time it is":  {answeringRego(t, `{"uid": "", "allowed": time.now_ns() > 0}`), true},
		"a command":                       {commandReadingClock(1), false},
		"a command that asks for a date":  {commandReadingClock(0), true},
		"a command that waits, then asks": {commandThatWaits(false), true},
		"a command that asks, then waits": {commandThatWaits(true), true},
		"asks for a date when it begins":  {guestReadingClock(), true},
	}
	for _, isolation := range []policy.Isolation{policy.IsolationFresh, policy.IsolationPristine} {
		engine := newEngine(t, policy.Config{Isolation: isolation, Capabilities: map[string]host.Capability{"kubernetes": verdict{}}})
		for name, tc := range cases {
			t.Run(string(isolation)+"/"+name, func(t *testing.T) {
				module := compile(t, engine, tc.module)
				for range 2 {
					varies := false
					_, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.p", Capabilities: granted, Varies: &varies}, json.RawMessage(`{"a":1}`))
					if varies != tc.want {
						t.Errorf("varies = %t, want %t; error %v", varies, tc.want, err)
					}
				}
			})
		}
	}
}
