package sandbox_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

func newRestoringRuntime(t *testing.T) *sandbox.Runtime {
	t.Helper()
	return newBoundedRuntime(t, nil)
}

func newBoundedRuntime(t *testing.T, budget *memory.Budget) *sandbox.Runtime {
	t.Helper()
	system, err := snapshot.Open()
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := sandbox.New(t.Context(), sandbox.Config{MemoryLimitPages: 16, Memory: system, Budget: budget, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(runtime.Close(context.Background()), system.Close()); err != nil {
			t.Error(err)
		}
	})
	return runtime
}

// Addresses in the memory of a counting module: in its data, in what was zero, and at the
// end of what it grows.
const (
	addressData = 1000
	addressZero = 60_000
	addressTail = 65_536 + 65_532
)

// count is code that adds 1 to what stands at an address.
func count(address int32) []byte {
	return slices.Concat(I32Const(address), I32Const(address), I32Load, I32Const(1), I32Add, I32Store)
}

// counting is a module whose "run" counts its calls in every place that it has, and returns
// the sum. After "init" the sum of the first call is 3+11+1+1+1 and the memory has 2 pages.
func counting() *Module {
	m := New()
	m.Memory(1)
	m.Data(addressData, []byte{2})
	global := m.Global(7)
	inited := count(addressZero)
	m.Export("init", KindFunction, m.Func(m.Type(nil, nil),
		inited, I32Const(10), GlobalSet(global)))
	m.Export("run", KindFunction, m.Func(m.Type(nil, []byte{I32}),
		count(addressData), count(addressZero),
		GlobalGet(global), I32Const(1), I32Add, GlobalSet(global),
		MemorySize, I32Const(1), MemoryGrow, Drop, count(addressTail),
		I32Const(addressData), I32Load, I32Add,
		I32Const(addressZero), I32Load, I32Add,
		I32Const(addressTail), I32Load, I32Add,
		GlobalGet(global), I32Add))
	return m
}

const countingFirst = 1 + 3 + 2 + 1 + 11 // size before, data, zero, tail, global

func compile(t *testing.T, runtime *sandbox.Runtime, binary []byte) *sandbox.Program {
	t.Helper()
	program, err := runtime.Compile(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func newTemplate(t *testing.T, runtime *sandbox.Runtime, binary []byte) (context.Context, *sandbox.Template) {
	t.Helper()
	program := compile(t, runtime, binary)
	ctx, _ := runtime.Begin(t.Context())
	template, err := program.NewTemplate(ctx, memory.Modules, func(instance *sandbox.Instance) error {
		_, err := instance.Invoke(ctx, "init")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx, template
}

func instantiate(ctx context.Context, t *testing.T, template *sandbox.Template) *sandbox.Instance {
	t.Helper()
	instance, err := template.Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { instance.Close(context.Background()) })
	return instance
}

func run(ctx context.Context, t *testing.T, instance *sandbox.Instance) uint32 {
	t.Helper()
	results, err := instance.Invoke(ctx, "run")
	if err != nil {
		t.Fatal(err)
	}
	return uint32(results[0])
}

// Every call of every instance finds what was there after the initialisation.
func TestRestoredInstanceIsAsNew(t *testing.T) {
	ctx, template := newTemplate(t, newRestoringRuntime(t), counting().Bytes())
	for number := range 3 {
		instance := instantiate(ctx, t, template)
		for call := range 5 {
			if got := run(ctx, t, instance); got != countingFirst {
				t.Errorf("instance %d, call %d: got %d, want %d", number, call, got, countingFirst)
			}
			if err := instance.Check(); err == nil {
				t.Error("what was changed was not seen")
			}
			if _, err := instance.Restore(ctx); err != nil {
				t.Fatal(err)
			}
			if err := instance.Check(); err != nil {
				t.Error(err)
			}
		}
		if got := run(ctx, t, instance) + run(ctx, t, instance); got == 2*countingFirst {
			t.Error("the module does not count at all")
		}
	}
}

// After a settled call the system need not be asked what it has written, once that is known;
// now and then it is, since a thread has faults of its own.
func TestRestoreAfterSettledCalls(t *testing.T) {
	runtime := newRestoringRuntime(t)
	ctx, template := newTemplate(t, runtime, counting().Bytes())
	instance := instantiate(ctx, t, template)
	unasked := map[string]int{}
	for range 100 {
		for _, kind := range []string{"settled", "left", "not settled"} {
			ctx, call := runtime.Begin(t.Context())
			if kind != "not settled" {
				call.Settle()
			}
			restored := restoredAfter(ctx, t, instance, func() {
				if kind == "left" {
					call.Leave()
				}
			})
			call.Leave()
			if !restored.Asked && !restored.Dropped {
				unasked[kind]++
			}
		}
	}
	if unasked["settled"] == 0 || len(unasked) != 1 {
		t.Errorf("the system was not asked, by kind of call: %v; want it so after settled ones only", unasked)
	}
}

// restoredAfter puts an instance back after a call, and something else.
func restoredAfter(ctx context.Context, t *testing.T, instance *sandbox.Instance, then func()) snapshot.Restored {
	t.Helper()
	if err := instance.Wake(ctx); err != nil {
		t.Fatal(err)
	}
	if got := run(ctx, t, instance); got != countingFirst {
		t.Errorf("got %d, want %d", got, countingFirst)
	}
	then()
	restored, err := instance.Restore(ctx)
	if err := errors.Join(err, instance.Check()); err != nil {
		t.Fatal(err)
	}
	return restored
}

// A memory that is as large as it may be cannot be shrunk: its instance is given up.
func TestMemoryAtItsLimit(t *testing.T) {
	m := counting()
	m.Export("grow", KindFunction, m.Func(m.Type(nil, nil), I32Const(15), MemoryGrow, Drop))
	ctx, template := newTemplate(t, newRestoringRuntime(t), m.Bytes())
	instance := instantiate(ctx, t, template)
	if _, err := instance.Invoke(ctx, "grow"); err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Restore(ctx); err == nil || err.Error() != "memory has grown to its limit" {
		t.Errorf("got %v, want an error about the limit", err)
	}
}

func TestNoTemplate(t *testing.T) {
	refused := errors.New("no")
	trapping := counting()
	trapping.Export("trap", KindFunction, trapping.Func(trapping.Type(nil, nil), Unreachable))
	table := counting()
	table.Table(10, 0)
	table.Export("change", KindFunction, table.Func(table.Type(nil, nil), I32Const(0), RefNullFunc, []byte{0x26, 0}))
	tests := map[string]struct {
		binary []byte
		init   func(context.Context, *sandbox.Instance) error
		want   string
	}{
		"table that changes": {table.Bytes(), nil, "module uses table.set, which cannot be put back"},
		"init that fails":    {counting().Bytes(), func(context.Context, *sandbox.Instance) error { return refused }, "no"},
		"init that traps": {trapping.Bytes(), func(ctx context.Context, instance *sandbox.Instance) error {
			_, err := instance.Invoke(ctx, "trap")
			return err
		}, "wasm error: unreachable"},
	}
	runtime := newRestoringRuntime(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			program, err := runtime.Compile(t.Context(), tc.binary)
			if err != nil {
				t.Fatal(err)
			}
			ctx, _ := runtime.Begin(t.Context())
			_, err = program.NewTemplate(ctx, memory.Modules, func(instance *sandbox.Instance) error { return tc.init(ctx, instance) })
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	plain, err := newRuntime(t).Compile(t.Context(), counting().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.NewTemplate(t.Context(), memory.Modules, nil); err == nil || err.Error() != "memory cannot be restored on this system" {
		t.Errorf("got %v without a system of snapshots", err)
	}
}

// A module of which no instance can be made does not leave its memory behind, which nobody
// would count.
func TestFailedInstanceLeavesNoMemory(t *testing.T) {
	started, misplaced := New(), New()
	started.Memory(1)
	started.Section(8, U32(started.Func(started.Type(nil, nil), Unreachable)))
	misplaced.Memory(1)
	misplaced.Data(1<<20, []byte("beyond"))
	for name, module := range map[string]*Module{"its start function traps": started, "its data lies beyond its memory": misplaced} {
		t.Run(name, func(t *testing.T) {
			runtime := newRestoringRuntime(t)
			program := compile(t, runtime, module.Bytes())
			const times, pages = 1000, 16 // of newRestoringRuntime; Go takes address space by 64 MB
			before := addressSpace(t)
			for range times {
				ctx, _ := runtime.Begin(t.Context())
				if _, err := program.NewTemplate(ctx, memory.Modules, func(*sandbox.Instance) error { return nil }); err == nil {
					t.Fatal("an instance was made")
				}
			}
			if grown := addressSpace(t) - before; grown > times*pages*64<<10/2 {
				t.Errorf("%d bytes of address space are left of %d instances", grown, times)
			}
		})
	}
}

// The memory of an instance for one call lies outside of Go's heap when it is large.
func TestLargeMemoryLiesOutsideOfHeap(t *testing.T) {
	tests := map[string]struct {
		pages  int
		onHeap bool
	}{"small": {pages: 15, onHeap: true}, "large": {pages: 16}}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			size := tc.pages << 16
			module := New()
			module.Memory(uint32(tc.pages))
			module.Data(int32(size-3), []byte("end"))
			budget := memory.NewBudget(memory.NewPlan(1<<30), nil)
			runtime := newBoundedRuntime(t, budget)
			program := compile(t, runtime, module.Bytes())
			ctx, _ := runtime.Begin(t.Context())
			before := allocated()
			instance, err := program.Instantiate(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := allocated() - before; tc.onHeap != (got >= size) {
				t.Errorf("%d bytes were allocated for a memory of %d, want on heap %v", got, size, tc.onHeap)
			}
			if got, err := instance.Memory().View(uint32(size-4), 4); err != nil || string(got) != "\x00end" {
				t.Errorf("the memory ends with %q, %v", got, err)
			}
			counted := budget.Usage(memory.Guests).Held
			if err := instance.Close(ctx); err != nil {
				t.Fatal(err)
			}
			if left := budget.Usage(memory.Guests).Held; counted != int64(size) || left != 0 {
				t.Errorf("%d bytes were counted, and %d still are; want %d and 0", counted, left, size)
			}
		})
	}
}

// allocated is how many bytes of Go's heap were ever taken.
func allocated() int {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.TotalAlloc)
}

// addressSpace is how much of it this process has, in bytes.
func addressSpace(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	size, _, _ := strings.Cut(string(text), " ")
	pages, err := strconv.Atoi(size)
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
