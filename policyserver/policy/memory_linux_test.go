package policy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

const page = 64 << 10

// budget is one with so many pages for guests, and so many bytes for modules.
func budget(pages, modules int64) *memory.Budget {
	return memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: modules, Guests: pages * page}, nil)
}

// executable is the size of the anonymous executable mappings of this process, in bytes.
func executable(t *testing.T) int64 {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var total int64
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		var first, last int64
		if len(fields) != 5 || !strings.Contains(fields[1], "x") { // a sixth is the name of a file
			continue
		}
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &first, &last); err != nil {
			t.Fatal(err)
		}
		total += last - first
	}
	return total
}

func heap() int64 {
	for range 3 { // modules of other tests are given back by finalisers
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// What is counted for a module is what it takes, within 30 %: of machine code, and in all.
func TestModulesTakeWhatIsCountedForThem(t *testing.T) {
	for _, name := range []string{"container-limits", "disallow-service-nodeport", "pod-privileged"} {
		t.Run(name, func(t *testing.T) {
			var outside int64
			plan := memory.Plan{Limit: 10 << 30, Modules: 10 << 30, Guests: 10 << 30}
			counted := memory.NewBudget(plan, func(goLimit int64) { outside = plan.Limit - goLimit/9*10 })
			binary := policiestest.Module(t, name)
			engine := newEngine(t, policy.Config{Memory: counted, Isolation: policy.IsolationFresh}) // no image
			inHeap, code := heap(), executable(t)
			module := compile(t, engine, binary)
			inHeap, code = heap()-inHeap, executable(t)-code
			runtime.KeepAlive(binary)
			if !near(outside, code) {
				t.Errorf("%d bytes of machine code are counted, %d are mapped", outside, code)
			}
			if held := counted.Usage(memory.Modules).Held; held != module.Bytes() || !near(held, code+inHeap) {
				t.Errorf("%d bytes are counted, %d of the module; it takes %d", held, module.Bytes(), code+inHeap)
			}
			t.Logf("machine code: counted %d, mapped %d; all: counted %d, taken %d", outside, code, module.Bytes(), code+inHeap)
		})
	}
}

func near(counted, is int64) bool { return math.Abs(float64(counted-is)) <= 0.3*float64(is) }

func TestModuleWithoutRoomIsRefusedUntilAnotherIsClosed(t *testing.T) {
	counted := budget(100, 60<<10)
	engine := newEngine(t, policy.Config{Memory: counted})
	first := compile(t, engine, wasmtest.Accepting())
	_, err := engine.Compile(t.Context(), wasmtest.Looping())
	refusal, is := errors.AsType[*policy.Error](err)
	over, wraps := errors.AsType[*memory.OverError](err)
	if !is || !wraps || refusal.Kind != policy.KindNoRoom || over.Held != first.Bytes() || !strings.Contains(refusal.Message, "the module needs 0.0 MiB") {
		t.Fatalf("got %v, want a refusal for lack of room", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	compile(t, engine, wasmtest.Looping())
}

func TestWhatDoesNotCompileTakesNothing(t *testing.T) {
	counted := budget(100, 1<<20)
	engine := newEngine(t, policy.Config{Memory: counted})
	importing := wasmtest.NewGuest()
	importing.Import("nobody", "nothing", importing.Type(nil, nil))
	invalid := wasmtest.NewGuest().OnValidate(wasmtest.Drop)
	for name, binary := range map[string][]byte{"an unknown import": importing.Bytes(), "code that is not valid": invalid.Bytes()} {
		if _, err := engine.Compile(t.Context(), binary); err == nil {
			t.Errorf("%s: got no error", name)
		}
		if held := counted.Usage(memory.Modules).Held; held != 0 {
			t.Errorf("%s: %d bytes are counted", name, held)
		}
	}
}

// A guest that lives with a refusal answers; of one that fails over it the message says why.
func TestMemoryOfGuestsIsBoundedTogether(t *testing.T) {
	failing := wasmtest.NewGuest().OnValidate(
		wasmtest.I32Const(40), wasmtest.MemoryGrow, wasmtest.I32Const(-1), wasmtest.I32Ne,
		wasmtest.If(wasmtest.Loop(wasmtest.Br(0))), wasmtest.Unreachable).Bytes()
	const why = "the policy needs 2.5 MiB of memory; running policies have 0.1 MiB of the 2.0 MiB that are allowed by the memory limit of 1024.0 MiB"
	counted := budget(32, 1<<20)
	engine := newEngine(t, policy.Config{Memory: counted})
	call := policy.Call{PolicyID: "kw.cap.mine"}
	for name, tc := range map[string]struct {
		binary []byte
		want   *wantError
	}{
		"memory that grows until it is refused": {wasmtest.GrowingMemory(), nil},
		"memory that it cannot do without":      {failing, &wantError{policy.KindGuest, why}},
	} {
		t.Run(name, func(t *testing.T) {
			varies := false
			call.Varies = &varies
			_, err := compile(t, engine, tc.binary).Validate(t.Context(), call, json.RawMessage(`{}`))
			checkError(t, err, tc.want)
			if !varies {
				t.Error("what a guest answers without the memory that it wanted is said to be the same each time")
			}
			if usage := counted.Usage(memory.Guests); usage.Held != 0 || usage.Refused == 0 {
				t.Errorf("got %+v, want nothing held and a refusal", usage)
			}
		})
	}
	settings := wasmtest.NewGuest().OnValidateSettings(wasmtest.I32Const(40), wasmtest.MemoryGrow, wasmtest.Drop, wasmtest.Unreachable)
	_, err := compile(t, engine, settings.Bytes()).ValidateSettings(t.Context(), call)
	checkError(t, err, &wantError{policy.KindUnavailable, why})
}

func TestGuestThatCannotBeginSaysWhy(t *testing.T) {
	engine := newEngine(t, policy.Config{Memory: memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 20, Guests: 1}, nil)})
	module := compile(t, engine, wasmtest.Accepting())
	_, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.mine"}, json.RawMessage(`{}`))
	if refusal, is := errors.AsType[*policy.Error](err); !is || refusal.Kind != policy.KindGuest || !strings.HasPrefix(refusal.Message, "the policy needs ") {
		t.Errorf("got %v", err)
	}
}

// Guests that take all they can get, at the same time, never have more than there is.
func TestConcurrentGuestsShareTheirMemory(t *testing.T) {
	counted := budget(64, 1<<20)
	engine := newEngine(t, policy.Config{Memory: counted})
	module := compile(t, engine, wasmtest.GrowingMemory())
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for range 20 {
				_, err := module.Validate(context.Background(), policy.Call{PolicyID: "kw.cap.mine"}, json.RawMessage(`{}`))
				if refusal, is := errors.AsType[*policy.Error](err); err != nil && (!is || refusal.Kind != policy.KindGuest) {
					t.Errorf("got %v", err)
				}
				if usage := counted.Usage(memory.Guests); usage.Held > usage.Allowed {
					t.Errorf("got %+v", usage)
				}
			}
		})
	}
	calls.Wait()
	if usage := counted.Usage(memory.Guests); usage.Held != 0 {
		t.Errorf("in the end: %+v", usage)
	}
}

// Instances that are put back share their image, which counts once; what one has grown by is
// given back with the call.
func TestImageOfAModuleIsCountedOnce(t *testing.T) {
	counted := budget(64, 1<<20)
	engine := newEngine(t, policy.Config{Memory: counted, Isolation: policy.IsolationPristine})
	module := compile(t, engine, wasmtest.GrowingMemory())
	held := counted.Usage(memory.Modules).Held
	if held != module.Bytes() {
		t.Errorf("%d bytes are counted, %d of the module", held, module.Bytes())
	}
	for range 3 {
		if _, err := module.Validate(t.Context(), policy.Call{PolicyID: "kw.cap.mine"}, json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		if usage := counted.Usage(memory.Guests); usage.Held != 0 || usage.Refused == 0 {
			t.Errorf("got %+v, want nothing held and a refusal", usage)
		}
	}
	if err := module.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held := counted.Usage(memory.Modules).Held; held != 0 {
		t.Errorf("%d bytes are counted after the module was closed", held)
	}
}
