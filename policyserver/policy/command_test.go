package policy_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

func commandOf(code func(*Command) []byte) []byte {
	c := NewCommand()
	return c.Bytes(code(c))
}

func TestCommand(t *testing.T) {
	exit := func(c *Command, code int32) []byte { return slices.Concat(I32Const(code), Call(c.Exit)) }
	const cannot = "internal server error: Cannot deserialize policy validation response: "
	tests := map[string]struct {
		code    func(*Command) []byte
		want    protocol.ValidationResponse
		wantErr *wantError
	}{
		"accepted": {
			code: func(c *Command) []byte { return c.Print(1, `{"accepted":true}`) },
			want: protocol.ValidationResponse{Accepted: true},
		},
		"an answer in two parts, and an exit with 0": {
			code: func(c *Command) []byte {
				return slices.Concat(c.Print(1, `{"accepted":false,`), c.Print(1, `"message":"no"}`), exit(c, 0))
			},
			want: protocol.ValidationResponse{Message: new("no")},
		},
		"an answer beside a log": {
			code: func(c *Command) []byte { return slices.Concat(c.Print(2, "thinking"), c.Print(1, `{"accepted":true}`)) },
			want: protocol.ValidationResponse{Accepted: true},
		},
		"an exit with another code": {
			code: func(c *Command) []byte {
				return slices.Concat(c.Print(1, `{"accepted":true}`), c.Print(2, " no idea\n"), exit(c, 3))
			},
			wantErr: &wantError{policy.KindGuest, "no idea"},
		},
		"an exit without a word": {
			code:    func(c *Command) []byte { return exit(c, 3) },
			wantErr: &wantError{policy.KindGuest, "guest exited with code 3"},
		},
		"a trap": {
			code:    func(c *Command) []byte { return slices.Concat(c.Print(1, `{"accepted":true}`), Unreachable) },
			wantErr: &wantError{policy.KindGuest, "wasm error: unreachable"},
		},
		"nothing":        {code: func(*Command) []byte { return nil }, wantErr: &wantError{policy.KindGuest, cannot + "JSON ends too early"}},
		"nonsense":       {code: func(c *Command) []byte { return c.Print(1, "yes") }, wantErr: &wantError{policy.KindGuest, cannot + "not JSON: invalid character 'y' looking for beginning of value"}},
		"more than JSON": {code: func(c *Command) []byte { return c.Print(1, `{"accepted":true} ok`) }, wantErr: &wantError{policy.KindGuest, cannot + "something follows the JSON object"}},
		"too much": {
			code: func(c *Command) []byte {
				write := c.Print(1, string(make([]byte, 2_000)))
				counter := c.Global(9_000)
				return Loop(write, GlobalGet(counter), I32Const(1), I32Sub, GlobalSet(counter), GlobalGet(counter), BrIf(0))
			},
			wantErr: &wantError{policy.KindGuest, "guest wrote more than 16777216 bytes to its standard output"},
		},
	}
	engine := newEngine(t, policy.Config{MemoryLimitPages: 64})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, commandOf(tc.code))
			defer module.Close(t.Context())
			for range 2 {
				got, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
				checkError(t, err, tc.wantErr)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
		})
	}
}

func TestCommandSettings(t *testing.T) {
	tests := map[string]struct {
		code func(*Command) []byte
		want protocol.SettingsValidationResponse
	}{
		"valid": {func(c *Command) []byte { return c.Print(1, `{"valid":true}`) }, protocol.SettingsValidationResponse{Valid: true}},
		"invalid": {
			func(c *Command) []byte { return c.Print(1, `{"valid":false,"message":"no"}`) },
			protocol.SettingsValidationResponse{Message: new("no")},
		},
		"failing": {
			func(c *Command) []byte { return slices.Concat(c.Print(2, "no idea"), I32Const(1), Call(c.Exit)) },
			protocol.SettingsValidationResponse{Message: new("no idea")},
		},
		"nonsense": {
			func(c *Command) []byte { return c.Echo() },
			protocol.SettingsValidationResponse{Message: new("Cannot deserialize settings validation response: valid: missing, want true or false")},
		},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := compile(t, engine, commandOf(tc.code)).ValidateSettings(t.Context(), policy.Call{Settings: json.RawMessage(`{"a":1}`)})
			checkError(t, err, nil)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// What the host answers stands at the end of what a command reads; the settings of other
// requests, which lie behind it in memory, stay as they are.
func TestCommandCallsHost(t *testing.T) {
	c := NewCommand()
	ask := c.CallHost("kubernetes", "can_i", `{}`)
	skip := slices.Concat( // the question, so that the answer is all that is left
		I32Const(0), I32Const(AddressList), I32Const(1), I32Const(AddressList+4), Call(c.Read), Drop)
	module := compile(t, newEngine(t, policy.Config{Capabilities: map[string]host.Capability{"kubernetes": verdict{}}}),
		c.Bytes(skip, echoAfter(c, ask)))

	granted, err := host.NewGrants([]string{"kubernetes/can_i"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	settings := make([]byte, 0, 1000)
	settings = append(settings, `{"a":1}`...)
	got, err := module.Validate(t.Context(), policy.Call{PolicyID: "mine", Capabilities: granted, Settings: settings}, json.RawMessage(`{}`))
	checkError(t, err, nil)
	if diff := cmp.Diff(protocol.ValidationResponse{Accepted: true, Message: new(`mine can_i {}`)}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if behind := settings[:1000][len(settings):]; !slices.Equal(behind, make([]byte, len(behind))) {
		t.Errorf("the host's answer was written behind the settings: %q", behind)
	}
	_, err = module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindGuest, "Policy has not been granted access to the 'kubernetes/can_i' host capability. The violation has been reported. Missing grant: 'kubernetes/can_i' in hostCapabilities of the policy"})
}

// echoAfter is code that calls the host, writes the answer to the standard output where
// the call succeeds, and to the standard error before it exits with 1 where it does not.
func echoAfter(c *Command, ask []byte) []byte {
	const addressRead = AddressList + 200
	list := binary.LittleEndian.AppendUint32(nil, AddressBuffer)
	list = binary.LittleEndian.AppendUint32(list, BufferSize)
	c.Data(AddressList, list)
	c.Data(addressRead, list)
	result := c.Global(0)
	return slices.Concat(
		ask, GlobalSet(result),
		I32Const(0), I32Const(addressRead), I32Const(1), I32Const(addressRead+4), Call(c.Read), Drop,
		GlobalGet(result), I32Const(1), I32Add, I32Const(addressRead), I32Const(1), I32Const(AddressCount), Call(c.Write), Drop,
		GlobalGet(result), If(I32Const(1), Call(c.Exit)))
}

func TestCommandDeadline(t *testing.T) {
	tests := map[string][]byte{
		"looping": commandOf(func(*Command) []byte { return Loop(Br(0)) }),
		"reading nothing for ever": commandOf(func(c *Command) []byte {
			return Loop(I32Const(0), I32Const(AddressList), I32Const(1), I32Const(AddressCount), Call(c.Read), Drop, Br(0))
		}),
		"host calls": commandOf(func(c *Command) []byte { return Loop(c.CallHost("tracing", "log", "{}"), Drop, Br(0)) }),
	}
	engine := newEngine(t, policy.Config{LoadTimeout: time.Second})
	for name, binary := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := compile(t, engine, binary).Validate(ctx, policy.Call{}, json.RawMessage(`{}`))
			checkError(t, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
		})
	}
}

// A command that floods its own input is ended.
func TestCommandThatReadsNothing(t *testing.T) {
	module := compile(t, newEngine(t, policy.Config{LoadTimeout: time.Second, Capabilities: map[string]host.Capability{"kubernetes": flood{}}}),
		commandOf(func(c *Command) []byte { return Loop(c.CallHost("kubernetes", "can_i", "{}"), Drop, Br(0)) }))
	granted, err := host.NewGrants([]string{"*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = module.Validate(t.Context(), policy.Call{Capabilities: granted}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindGuest, "guest leaves more than 33554432 bytes of its standard input unread"})
}

type flood struct{}

func (flood) Call(context.Context, host.Request) ([]byte, error) { return make([]byte, 8<<20), nil }

func TestCommandRefused(t *testing.T) {
	m := New()
	m.Memory(1)
	_, err := newEngine(t, policy.Config{}).Compile(t.Context(), annotate(t, m.Bytes(), metadata.ModeWASI))
	checkError(t, err, &wantError{policy.KindInvalidModule, `invalid WebAssembly module: module exports no function "_start"`})
}
