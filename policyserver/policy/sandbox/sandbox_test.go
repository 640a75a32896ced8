package sandbox_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

func newRuntime(t *testing.T, modules ...sandbox.HostModule) *sandbox.Runtime {
	t.Helper()
	runtime, err := sandbox.New(t.Context(), sandbox.Config{MemoryLimitPages: 16, Modules: modules, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runtime.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return runtime
}

// module is a module with a memory whose "run" is this code.
func module(code ...[]byte) *Module {
	m := New()
	m.Memory(1)
	m.Export("run", KindFunction, m.Func(m.Type(nil, nil), code...))
	return m
}

func TestCompileRefuses(t *testing.T) {
	importing := func(entry ...byte) []byte {
		m := module()
		m.Section(2, Vector(slices.Concat(Name("env"), Name("x"), entry)))
		return m.Bytes()
	}
	noMemory := New()
	twice := module()
	twice.Export("kubewarden:global:0", KindFunction, 0)
	twice.Global(1)
	tests := map[string]struct {
		binary []byte
		want   string
	}{
		"an imported table":   {importing(KindTable, 0x70, 0, 1), "module imports table env.x, which the host does not provide"},
		"an imported global":  {importing(KindGlobal, I32, 0), "module imports global env.x, which the host does not provide"},
		"no memory":           {noMemory.Bytes(), `module exports no memory "memory"`},
		"a name that we need": {twice.Bytes(), `section export: export[3] duplicates name "kubewarden:global:0"`},
	}
	runtime := newRuntime(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := runtime.Compile(t.Context(), tc.binary)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestCheckExport(t *testing.T) {
	program, err := newRuntime(t).Compile(t.Context(), module().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := program.CheckExport("run", 0, 0); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if err := program.CheckExport("run", 2, 1); err == nil || err.Error() != `module exports function "run" with another signature than 2 i32 to 1 i32` {
		t.Errorf("got %v, want an error about the signature", err)
	}
	if program.Exports("walk") {
		t.Error("it exports what it does not")
	}
}

// Every way in which a guest can end is told apart.
func TestInvokeFails(t *testing.T) {
	host := sandbox.HostModule{Name: "env"}
	outcomes := map[string]error{
		"exit":      &sandbox.ExitError{Code: 4},
		"violation": sandbox.Violationf("address %d", 7),
		"other":     errors.New("something else"),
		"deadline":  sandbox.ErrDeadline,
		"canceled":  sandbox.ErrCanceled,
	}
	for name, outcome := range outcomes {
		host.Functions = append(host.Functions, sandbox.Function{
			Name: name,
			Run:  func(context.Context, sandbox.Guest, []uint64) error { return outcome },
		})
	}
	host.Functions = append(host.Functions, sandbox.Function{
		Name: "defect",
		Run: func(context.Context, sandbox.Guest, []uint64) error {
			var state *sandbox.ExitError
			state.Code++ // no host function should, but if one does it is no fault of the guest's
			return nil
		},
	})
	runtime := newRuntime(t, host)
	run := func(t *testing.T, m *Module, function string) error {
		t.Helper()
		program, err := runtime.Compile(t.Context(), m.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		ctx, _ := runtime.Begin(t.Context())
		instance, err := program.Instantiate(ctx)
		if err != nil {
			return err
		}
		_, err = instance.Invoke(ctx, function)
		return errors.Join(err, instance.Close(ctx))
	}
	for name, want := range outcomes {
		m := New()
		m.Import("env", name, m.Type(nil, nil))
		m.Memory(1)
		m.Export("run", KindFunction, m.Func(m.Type(nil, nil), Call(0)))
		got := run(t, m, "run")
		var trap *sandbox.TrapError
		if name == "other" {
			if !errors.As(got, &trap) || trap.Reason != "something else (recovered by wazero)" {
				t.Errorf("%s: got %v, want a trap", name, got)
			}
			continue
		}
		if !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}

	m := New()
	m.Import("env", "defect", m.Type(nil, nil))
	m.Memory(1)
	m.Export("run", KindFunction, m.Func(m.Type(nil, nil), Call(0)))
	var defect *sandbox.HostError
	if err := run(t, m, "run"); !errors.As(err, &defect) {
		t.Errorf("defect: got %v, want a *HostError", err)
	}

	var trap *sandbox.TrapError
	if err := run(t, module(Unreachable), "run"); !errors.As(err, &trap) || trap.Reason != "wasm error: unreachable" || trap.Err == nil {
		t.Errorf("trap: got %v, want an unreachable with its stack", err)
	}
	var violation *sandbox.ViolationError
	if err := run(t, module(), "walk"); !errors.As(err, &violation) {
		t.Errorf("a function that is not there: got %v, want a *Violation", err)
	}
	outside := module()
	outside.Data(65_536, []byte("x"))
	if err := run(t, outside, "run"); !errors.As(err, &trap) {
		t.Errorf("data outside of memory: got %v, want a *Trap", err)
	}
}
