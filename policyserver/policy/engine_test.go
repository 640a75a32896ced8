package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

func newEngine(t testing.TB, config policy.Config) *policy.Engine {
	t.Helper()
	engine, err := policy.NewEngine(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return engine
}

func compile(t testing.TB, engine *policy.Engine, binary []byte) *policy.Module {
	t.Helper()
	module, err := engine.Compile(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// want is what a test expects of a call: a response or an error.
type wantError struct {
	Kind    policy.Kind
	Message string
}

func checkError(t testing.TB, err error, want *wantError) {
	t.Helper()
	var got *policy.Error
	if err != nil && !errors.As(err, &got) {
		t.Fatalf("got %T, want a *policy.Error: %v", err, err)
	}
	switch {
	case got == nil && want == nil:
	case got == nil:
		t.Errorf("got no error, want %v %q", want.Kind, want.Message)
	case want == nil:
		t.Errorf("got error %v: %v, want none", got.Kind, got)
	case got.Kind != want.Kind || got.Message != want.Message:
		t.Errorf("got  %v %q\nwant %v %q", got.Kind, got.Message, want.Kind, want.Message)
	}
}

func TestValidate(t *testing.T) {
	guestError := func(text string) *wantError {
		return &wantError{policy.KindGuest, "internal server error: " + text}
	}
	tests := map[string]struct {
		binary  []byte
		want    protocol.ValidationResponse
		wantErr *wantError
	}{
		"accepted": {binary: wasmtest.Accepting(), want: protocol.ValidationResponse{Accepted: true}},
		"rejected with everything": {
			binary: wasmtest.Answering(`{"accepted":false,"message":"no","code":400,"mutated_object":{"a":1},"warnings":["w"]}`),
			want: protocol.ValidationResponse{
				Message: new("no"), Code: new(uint16(400)), MutatedObject: json.RawMessage(`{"a":1}`), Warnings: []string{"w"},
			},
		},
		"failing":            {binary: wasmtest.Failing("no idea"), wantErr: guestError("Guest call failure: no idea")},
		"trapping":           {binary: wasmtest.Trapping(), wantErr: guestError("Guest call failure: wasm error: unreachable")},
		"answering nonsense": {binary: wasmtest.Answering("yes"), wantErr: guestError("invalid response from policy: not JSON: invalid character 'y' looking for beginning of value")},
		"answering nothing":  {binary: wasmtest.NewGuest().OnValidate(wasmtest.I32Const(1)).Bytes(), wantErr: guestError("Guest call failure: No error message OR response set for call success")},
		"failing in silence": {binary: wasmtest.NewGuest().OnValidate(wasmtest.I32Const(0)).Bytes(), wantErr: guestError("Guest call failure: No error message set for call failure")},
		"success is any number but zero": {
			binary: func() []byte {
				g := wasmtest.NewGuest()
				return g.OnValidate(g.Respond(`{"accepted":true}`), wasmtest.Drop, wasmtest.I32Const(256)).Bytes()
			}(),
			want: protocol.ValidationResponse{Accepted: true},
		},
		"an error beside success": {
			binary: func() []byte {
				g := wasmtest.NewGuest()
				return g.OnValidate(g.Text("half done"), wasmtest.Call(wasmtest.GuestError), wasmtest.I32Const(1)).Bytes()
			}(),
			wantErr: guestError("Guest call failure: half done"),
		},
		"a response outside of memory": {
			binary: wasmtest.NewGuest().OnValidate(
				wasmtest.I32Const(65535), wasmtest.I32Const(2), wasmtest.Call(wasmtest.GuestResponse), wasmtest.I32Const(1)).Bytes(),
			wantErr: guestError("Guest call failure: 2 bytes at address 0xffff lie outside the memory of 65536 bytes"),
		},
		"a response that wraps around 32 bits": {
			binary: wasmtest.NewGuest().OnValidate(
				wasmtest.I32Const(-4), wasmtest.I32Const(8), wasmtest.Call(wasmtest.GuestResponse), wasmtest.I32Const(1)).Bytes(),
			wantErr: guestError("Guest call failure: 8 bytes at address 0xfffffffc lie outside the memory of 65536 bytes"),
		},
		"a vast response": {
			binary: wasmtest.NewGuest().OnValidate(
				wasmtest.I32Const(0), wasmtest.I32Const(-1), wasmtest.Call(wasmtest.GuestResponse), wasmtest.I32Const(1)).Bytes(),
			wantErr: guestError("Guest call failure: response has 4294967295 bytes, at most 16777216 are allowed"),
		},
		"a request outside of memory": {
			binary: wasmtest.NewGuest().OnValidate(
				wasmtest.I32Const(0), wasmtest.I32Const(-1), wasmtest.Call(wasmtest.GuestRequest), wasmtest.I32Const(1)).Bytes(),
			wantErr: guestError("Guest call failure: 33 bytes at address 0xffffffff lie outside the memory of 65536 bytes"),
		},
		"an error that is no text": {
			binary: func() []byte {
				g := wasmtest.NewGuest()
				return g.OnValidate(g.Fail("\xff")).Bytes()
			}(),
			wantErr: guestError("Guest call failure: error message is not valid UTF-8"),
		},
		"endless recursion ends with the stack": {
			binary: func() []byte {
				g := wasmtest.NewGuest()
				self := g.Func(g.Type(nil, nil), wasmtest.Call(9), wasmtest.Call(9))
				return g.OnValidate(wasmtest.Call(self), wasmtest.I32Const(1)).Bytes()
			}(),
			wantErr: guestError("Guest call failure: stack overflow"),
		},
		"memory that grows until it is refused": {binary: wasmtest.GrowingMemory(), want: protocol.ValidationResponse{Accepted: true}},
		"initialised by all three functions, in order": {
			binary: initialised("_initialize", "_start", "wapc_init"), want: protocol.ValidationResponse{Accepted: true},
		},
		"initialised in another order": {
			binary:  initialised("wapc_init", "_start", "_initialize"),
			wantErr: guestError("Guest call failure: initialize guest by _initialize: wasm error: unreachable"),
		},
		"exiting with 0 from its start": {binary: exitingFromStart(0), want: protocol.ValidationResponse{Accepted: true}},
		"exiting with 3 from its start": {
			binary:  exitingFromStart(3),
			wantErr: guestError("Guest call failure: initialize guest by _start: guest exited with code 3"),
		},
	}
	engine := newEngine(t, policy.Config{MemoryLimitPages: 64})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, tc.binary)
			defer module.Close(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range 2 { // the second call meets the same guest as the first
				got, err := module.Validate(ctx, policy.Call{PolicyID: "kw.cap.mine"}, json.RawMessage(`{"a":1}`))
				checkError(t, err, tc.wantErr)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
		})
	}
}

// initialised is a guest whose init functions trap unless they are called in that order.
func initialised(names ...string) []byte {
	g := wasmtest.NewGuest()
	step := g.Global(0)
	for i, name := range names {
		g.OnInit(name,
			wasmtest.GlobalGet(step), wasmtest.I32Const(int32(i)), wasmtest.I32Eq,
			wasmtest.If(wasmtest.Else, wasmtest.Unreachable),
			wasmtest.I32Const(int32(i+1)), wasmtest.GlobalSet(step))
	}
	return g.Bytes()
}

func exitingFromStart(code int32) []byte {
	g := wasmtest.NewGuest()
	exit := g.Import("wasi_snapshot_preview1", "proc_exit", g.Type([]byte{wasmtest.I32}, nil))
	return g.OnInit("_start", wasmtest.I32Const(code), wasmtest.Call(exit)).Bytes()
}

func TestValidateSettings(t *testing.T) {
	failing := wasmtest.NewGuest()
	failing.OnValidateSettings(failing.Fail("no idea"))
	tests := map[string]struct {
		binary  []byte
		want    protocol.SettingsValidationResponse
		wantErr *wantError
	}{
		"valid":              {binary: wasmtest.Accepting(), want: protocol.SettingsValidationResponse{Valid: true}},
		"invalid":            {binary: wasmtest.RefusingSettings(`{"valid":false,"message":"name: missing"}`), want: protocol.SettingsValidationResponse{Message: new("name: missing")}},
		"failing":            {binary: failing.Bytes(), want: protocol.SettingsValidationResponse{Message: new("Error invoking settings validation callback: no idea")}},
		"answering nonsense": {binary: wasmtest.RefusingSettings(`{}`), want: protocol.SettingsValidationResponse{Message: new("error: valid: missing, want true or false")}},
		"looping":            {binary: wasmtest.LoopingInSettings(), wantErr: &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"}},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			got, err := compile(t, engine, tc.binary).ValidateSettings(ctx, policy.Call{})
			checkError(t, err, tc.wantErr)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// What a guest is asked with is what it was given, byte by byte.
func TestGuestSeesRequestAsItIs(t *testing.T) {
	g := wasmtest.NewGuest()
	g.OnValidate(g.Request(), wasmtest.I32Const(wasmtest.AddressPayload), wasmtest.LocalGet(1), wasmtest.Call(wasmtest.GuestError), wasmtest.I32Const(0))
	g.OnValidateSettings(g.Request(), wasmtest.I32Const(wasmtest.AddressPayload), wasmtest.LocalGet(1), wasmtest.Call(wasmtest.GuestError), wasmtest.I32Const(0))
	module := compile(t, newEngine(t, policy.Config{}), g.Bytes())
	call := policy.Call{Settings: json.RawMessage(`{"b": 1e400}`)}

	_, err := module.Validate(t.Context(), call, json.RawMessage(`{"z":12345678901234567890 ,"a":"\u00e4"}`))
	checkError(t, err, &wantError{policy.KindGuest, `internal server error: Guest call failure: {"request":{"z":12345678901234567890 ,"a":"\u00e4"},"settings":{"b": 1e400}}`})

	settings, err := module.ValidateSettings(t.Context(), call)
	checkError(t, err, nil)
	if want := `Error invoking settings validation callback: {"b": 1e400}`; settings.Message == nil || *settings.Message != want {
		t.Errorf("got %v, want %s", settings.Message, want)
	}
}

func TestCompileRefuses(t *testing.T) {
	withMetadata := func(document string) []byte {
		g := wasmtest.NewGuest()
		g.Metadata = document
		return g.Bytes()
	}
	noCall := wasmtest.New()
	noCall.Memory(1)
	noCall.Custom("io.kubewarden.metadata", []byte(wasmtest.DefaultMetadata))
	foreign := wasmtest.NewGuest()
	foreign.Import("env", "sleep", foreign.Type(nil, nil))
	mismatched := wasmtest.NewGuest()
	mismatched.Import("wapc", "__console_log", mismatched.Type(nil, nil))
	large := wasmtest.NewGuest()
	large.Section(5, []byte{1, 0, 0x80, 0x80, 0x02}) // 32768 pages
	invalid := wasmtest.NewGuest().OnValidate(wasmtest.Drop, wasmtest.I32Const(1))
	tests := map[string]struct {
		binary []byte
		want   string
	}{
		"nothing":           {nil, `read module: offset 0x0: not a WebAssembly module: it does not begin with \0asm`},
		"cut off":           {wasmtest.Accepting()[:100], "read module: offset 0x2d: 203 bytes wanted, 55 left"},
		"no metadata":       {withMetadata(""), "Policy is missing protocol version, which is required for KubewardenWapc execution mode"},
		"bad metadata":      {withMetadata(`{}`), "cannot deserialize custom section `io.kubewarden.metadata` of wasm module: rules: missing"},
		"a later version":   {withMetadata(`{"protocolVersion":"v1","rules":[],"mutating":false,"minimumKubewardenVersion":"9.0.0"}`), "Policy required Kubewarden version 9.0.0 but is running on 1.37.2"},
		"another mode":      {withMetadata(`{"executionMode":"gatekeeper","rules":[],"mutating":false}`), `invalid WebAssembly module: module exports no function "builtins"`},
		"no entry point":    {noCall.Bytes(), `invalid WebAssembly module: module exports no function "__guest_call"`},
		"a foreign import":  {foreign.Bytes(), "invalid WebAssembly module: module imports function env.sleep, which the host does not provide"},
		"another signature": {mismatched.Bytes(), "invalid WebAssembly module: module imports function wapc.__console_log with another signature than the host provides"},
		"too much memory":   {large.Bytes(), "invalid WebAssembly module: section memory: min 32768 pages (2 Gi) over limit of 4096 pages (256 Mi)"},
		"an atomic":         {wasmtest.NewGuest().OnValidate([]byte{0xfe, 0x10}).Bytes(), "invalid WebAssembly module: offset 0x128: opcode 0xfe (threads) is not supported"},
		"invalid code":      {invalid.Bytes(), "invalid WebAssembly module: invalid function[0] export[\"__guest_call\"]: invalid drop: invalid operation: trying to pop at 0 with limit 0"},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := engine.Compile(t.Context(), tc.binary)
			checkError(t, err, &wantError{policy.KindInvalidModule, tc.want})
		})
	}
}

func TestHostCalls(t *testing.T) {
	answering := wasmtest.NewGuest()
	answering.OnValidate(answering.CallHost("kubernetes", "can_i", `{"a":1}`), wasmtest.IfI32(answering.RespondHost(), wasmtest.Else, answering.FailHost()))
	module := compile(t, newEngine(t, policy.Config{Capabilities: map[string]host.Capability{"kubernetes": verdict{}}}), answering.Bytes())

	_, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.mine"}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindGuest, "internal server error: Guest call failure: Policy has not been granted access to the 'kubernetes/can_i' host capability. The violation has been reported. Missing grant: 'kubernetes/can_i' in hostCapabilities of the policy"})

	granted, err := host.NewGrants([]string{"kubernetes/can_i"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.mine", Capabilities: granted}, json.RawMessage(`{}`))
	checkError(t, err, nil)
	if diff := cmp.Diff(protocol.ValidationResponse{Accepted: true, Message: new(`kw.cap.mine can_i {"a":1}`)}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A capability that breaks is our defect and not the guest's.
func TestHostCallThatBreaks(t *testing.T) {
	engine := newEngine(t, policy.Config{Capabilities: map[string]host.Capability{"kubernetes": broken{}}})
	granted, err := host.NewGrants([]string{"*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	module := compile(t, engine, wasmtest.CallingHost("kubernetes", "can_i", "{}"))
	_, err = module.Validate(t.Context(), policy.Call{Capabilities: granted}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindInternal, "internal server error"})
}

type broken struct{}

func (broken) Call(context.Context, host.Request) ([]byte, error) {
	var none *host.Request
	return none.Payload, nil
}

// verdict answers a host call with a verdict that quotes it.
type verdict struct{}

func (verdict) Call(_ context.Context, request host.Request) ([]byte, error) {
	return json.Marshal(map[string]any{
		"accepted": true,
		"message":  strings.Join([]string{request.PolicyID, request.Operation, string(request.Payload)}, " "),
	})
}

func TestGuestOutputIsLogged(t *testing.T) {
	g := wasmtest.NewGuest()
	write := g.Import("wasi_snapshot_preview1", "fd_write", g.Type(bytes.Repeat([]byte{wasmtest.I32}, 4), []byte{wasmtest.I32}))
	g.Data(200, []byte("oops\n"))
	g.Data(100, []byte{200, 0, 0, 0, 5, 0, 0, 0})
	g.OnValidate(
		wasmtest.I32Const(2), wasmtest.I32Const(100), wasmtest.I32Const(1), wasmtest.I32Const(300), wasmtest.Call(write), wasmtest.Drop,
		g.Text("hello"), wasmtest.Call(wasmtest.ConsoleLog), g.Respond(`{"accepted":true}`))
	var lines bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	module := compile(t, newEngine(t, policy.Config{Logger: logger}), g.Bytes())
	_, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.mine"}, json.RawMessage(`{}`))
	checkError(t, err, nil)
	want := "level=INFO msg=\"policy output\" policy_id=kw.cap.mine stream=console text=hello\n" +
		"level=INFO msg=\"policy output\" policy_id=kw.cap.mine stream=stderr text=oops\n"
	if diff := cmp.Diff(want, lines.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestModuleDescribesItself(t *testing.T) {
	binary := wasmtest.Accepting()
	module := compile(t, newEngine(t, policy.Config{}), binary)
	if got := module.Metadata().Rules[0].Resources[0]; got != "pods" {
		t.Errorf("metadata: got resource %q, want pods", got)
	}
}

// waiting tells when it is called and answers when the context is done.
type waiting struct{ called chan struct{} }

func (w waiting) Call(ctx context.Context, _ host.Request) ([]byte, error) {
	close(w.called)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestClose(t *testing.T) {
	called := make(chan struct{})
	engine, err := policy.NewEngine(t.Context(), policy.Config{Capabilities: map[string]host.Capability{"kubernetes": waiting{called}}})
	if err != nil {
		t.Fatal(err)
	}
	granted, err := host.NewGrants([]string{"*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	calling, accepting := compile(t, engine, wasmtest.CallingHost("kubernetes", "can_i", "{}")), compile(t, engine, wasmtest.Accepting())
	same := compile(t, engine, wasmtest.Accepting())
	for range 2 {
		if err := accepting.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	_, err = accepting.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindUnavailable, "module is closed"})
	_, err = same.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
	checkError(t, err, nil) // compiled twice, closed once

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := calling.Validate(ctx, policy.Call{Capabilities: granted}, json.RawMessage(`{}`))
		ended <- err
	}()
	<-called
	impatient, giveUp := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer giveUp()
	checkError(t, engine.Close(impatient), &wantError{policy.KindUnavailable, "wait for running policies"})
	_, err = same.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindUnavailable, "engine is closed"})
	_, err = engine.Compile(t.Context(), wasmtest.Accepting())
	checkError(t, err, &wantError{policy.KindUnavailable, "engine is closed"})
	cancel()
	checkError(t, <-ended, &wantError{policy.KindUnavailable, "policy execution was canceled"})
	checkError(t, engine.Close(t.Context()), nil)
}

func TestCompilationCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	for range 2 {
		engine := newEngine(t, policy.Config{CacheDir: dir})
		got, err := compile(t, engine, wasmtest.Accepting()).Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
		checkError(t, err, nil)
		if !got.Accepted {
			t.Error("not accepted")
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), os.FileMode(0o700); got != want {
		t.Errorf("cache has mode %v, want %v", got, want)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = policy.NewEngine(t.Context(), policy.Config{CacheDir: dir})
	checkError(t, err, &wantError{policy.KindInternal, "start policy engine"})
}
