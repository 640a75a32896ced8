package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesTypedFunctionReferences | experimental.CoreFeaturesExtendedConst

// result is what is observed of one run of a module's exported function "run".
type result struct {
	Value  uint64
	Trap   string
	Memory []byte
	Ticks  int
}

// run instantiates a module and calls "run" with one argument. A module that never ends
// is stopped after a million ticks.
func run(t testing.TB, binary []byte, argument uint64) result {
	t.Helper()
	ctx := t.Context()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features).WithMemoryLimitPages(512))
	defer runtime.Close(ctx)
	var got result
	_, err := runtime.NewHostModuleBuilder(wasm.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			if got.Ticks++; got.Ticks > 1_000_000 {
				panic(errors.New("stopped"))
			}
			stack[0] = wasm.Quantum
		}), nil, []api.ValueType{api.ValueTypeI32}).Export(wasm.FuelFunction).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	module, err := runtime.Instantiate(ctx, binary)
	if err != nil {
		t.Fatalf("instantiate: %v", err)
	}
	values, err := module.ExportedFunction("run").Call(ctx, argument)
	if err != nil {
		got.Trap, _, _ = strings.Cut(err.Error(), "\n")
	} else {
		got.Value = values[0]
	}
	if _, present := module.ExportedMemoryDefinitions()["memory"]; present {
		view, _ := module.Memory().Read(0, module.Memory().Size())
		got.Memory = slices.Clone(view)
	}
	return got
}

func rewrite(t testing.TB, binary []byte) wasm.Rewritten {
	t.Helper()
	rewritten, err := wasm.Rewrite(binary)
	if err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	return rewritten
}

// program is a module with an exported function run(i32) i32.
func program(memoryPages uint32, code ...[]byte) []byte {
	m := New()
	if memoryPages > 0 {
		m.Memory(memoryPages)
	}
	m.Export("run", KindFunction, m.FuncWithLocals(m.Type([]byte{I32}, []byte{I32}), []byte{I32, I32}, code...))
	return m.Bytes()
}

// pattern fills n bytes from address 0 with a sequence that repeats late.
func pattern(n int32) []byte {
	return Loop(
		LocalGet(2), LocalGet(2), I32Const(-1640531527), I32Mul, I32Const(13), I32Rotl, LocalGet(2), I32Xor, I32Store8,
		LocalGet(2), I32Const(1), I32Add, LocalSet(2),
		LocalGet(2), I32Const(n), I32LtU, BrIf(0),
	)
}

// A rewritten module computes what the original does: same value, same trap, same memory.
func TestRewriteKeepsMeaning(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		binary    []byte
		arguments []uint64
	}{
		"sum by a loop": {program(0,
			Block(Loop(
				LocalGet(0), []byte{0x45}, BrIf(1), // i32.eqz
				LocalGet(1), LocalGet(0), I32Add, LocalSet(1),
				LocalGet(0), I32Const(1), I32Sub, LocalSet(0),
				Br(0),
			)), LocalGet(1)), []uint64{0, 1, 100_000}},
		"more between two charges than a quantum": {program(0,
			bytes.Repeat([]byte{0x01}, 40*wasm.Quantum), LocalGet(0)), []uint64{7}}, // nop
		"trap": {program(0, Unreachable), []uint64{0}},
		"short copy, forward overlap": {program(3, pattern(100),
			I32Const(10), I32Const(0), I32Const(50), MemoryCopy, I32Const(0)), []uint64{0}},
		"long copy from the front": {program(80, pattern(4*mib),
			I32Const(5), I32Const(1000), I32Const(3*mib+77), MemoryCopy, I32Const(0)), []uint64{0}},
		"long copy from the back": {program(80, pattern(4*mib),
			I32Const(1000), I32Const(5), I32Const(3*mib+77), MemoryCopy, I32Const(0)), []uint64{0}},
		"long copy of exactly two chunks": {program(80, pattern(4*mib),
			I32Const(1), I32Const(0), I32Const(2*mib), MemoryCopy, I32Const(0)), []uint64{0}},
		"long copy whose target ends beyond the memory writes nothing": {program(80, pattern(4*mib),
			I32Const(4*mib), I32Const(0), I32Const(2*mib), MemoryCopy, I32Const(0)), []uint64{0}},
		"long copy whose source ends beyond the memory writes nothing": {program(80, pattern(4*mib),
			I32Const(0), I32Const(4*mib), I32Const(2*mib), MemoryCopy, I32Const(0)), []uint64{0}},
		"copy whose length wraps around 32 bits": {program(80, pattern(100),
			I32Const(16), I32Const(0), I32Const(-8), MemoryCopy, I32Const(0)), []uint64{0}},
		"long fill": {program(80,
			I32Const(3), LocalGet(0), I32Const(3*mib+5), MemoryFill, I32Const(0)), []uint64{0xab, 0x1cd}},
		"long fill beyond the memory writes nothing": {program(80,
			I32Const(4*mib), I32Const(7), I32Const(2*mib), MemoryFill, I32Const(0)), []uint64{0}},
		"growth": {program(1,
			LocalGet(0), MemoryGrow, MemorySize, I32Const(16), []byte{0x74}, I32Xor), []uint64{0, 1, 100, 100_000}},
		"tail calls":                    {tailCalls(), []uint64{0, 1, 50_000}},
		"call through a table":          {indirect(), []uint64{0, 1, 2, 3}},
		"typed function reference":      {typedReference(), []uint64{4}},
		"loop that sets a reference":    {settingReference(), []uint64{1, 9}},
		"loop longer than a tick":       {longLoop(), []uint64{1, 4}},
		"all forms of element segments": {elementForms(), []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		"passive data":                  {passiveData(), []uint64{0, 3, 9}},
		"neighbouring data":             {apart(), []uint64{0, 10}},
		"overlapping data":              {overlapping(), []uint64{0, 10}},
		"data that is counted":          {counted(), []uint64{4}},
		"data at a computed address":    {computed(), []uint64{10, 64}},
		"start function":                {startFunction(), []uint64{0}},
		"mutable globals":               {globals(), []uint64{5}},
		"vectors":                       {vectors(), []uint64{3}},
		"blocks with parameters":        {blockParameters(), []uint64{9}},
		"multi-byte constants":          {program(0, I32Const(-2147483648), LocalGet(0), I32Add), []uint64{1}},
		"branch table": {program(0,
			Block(Block(Block(LocalGet(0), []byte{0x0e, 2, 0, 1, 2}), I32Const(10), Return), I32Const(20), Return),
			I32Const(30)), []uint64{0, 1, 2, 77}},
		"extended constant expression": {extendedConstant(), []uint64{0}},
		"saturating conversion": {program(0,
			[]byte{0x43, 0, 0, 0x80, 0x7f}, []byte{0xfc, 0x00}), []uint64{0}}, // +inf to i32
		"sign extension":       {program(0, LocalGet(0), []byte{0xc0}), []uint64{0x80}},
		"select with types":    {program(0, I32Const(1), I32Const(2), LocalGet(0), []byte{0x1c, 1, I32}), []uint64{0, 1}},
		"numbers spelled long": {program(0, []byte{0x20, 0x80, 0x80, 0x00}, []byte{0x41, 0x85, 0x80, 0x00}, I32Add), []uint64{2}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rewritten := rewrite(t, tc.binary)
			for _, argument := range tc.arguments {
				want, got := run(t, tc.binary, argument), run(t, rewritten.Wasm, argument)
				if got.Ticks == 0 {
					t.Error("the rewritten module never asked for fuel")
				}
				got.Ticks = 0
				if !slices.Equal(want.Memory, got.Memory) {
					t.Errorf("run(%d): memory differs", argument)
				}
				want.Memory, got.Memory = nil, nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("run(%d): -original +rewritten\n%s", argument, diff)
				}
			}
		})
	}
}

// No guest runs for ever without asking for fuel.
func TestRewriteInterrupts(t *testing.T) {
	self := uint32(0)
	recursion := New()
	recursion.Func(recursion.Type([]byte{I32}, []byte{I32}), LocalGet(0), If(
		LocalGet(0), I32Const(1), I32Sub, Call(self), Drop,
		LocalGet(0), I32Const(1), I32Sub, Call(self), Drop), I32Const(0))
	recursion.Export("run", KindFunction, self)

	tail := New()
	tail.Func(tail.Type([]byte{I32}, []byte{I32}), LocalGet(0), ReturnCall(self))
	tail.Export("run", KindFunction, self)

	tests := map[string][]byte{
		"tight loop":            program(0, Loop(Br(0)), I32Const(0)),
		"exponential recursion": recursion.Bytes(),
		"tail calls":            tail.Bytes(),
		"loop over short fills": program(1, Loop(I32Const(0), I32Const(1), I32Const(60_000), MemoryFill, Br(0)), I32Const(0)),
		"loop over long fills":  program(100, Loop(I32Const(0), I32Const(1), I32Const(6_000_000), MemoryFill, Br(0)), I32Const(0)),
		"loop over long copies": program(100, Loop(I32Const(0), I32Const(1), I32Const(6_000_000), MemoryCopy, Br(0)), I32Const(0)),
		"loop over growth":      program(1, Loop(I32Const(0), MemoryGrow, Drop, Br(0)), I32Const(0)),
	}
	for name, binary := range tests {
		t.Run(name, func(t *testing.T) {
			got := runUntil(t, rewrite(t, binary).Wasm, 64)
			if want := "stopped (recovered by wazero)"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// runUntil runs a module that never ends until its n-th tick and returns the trap.
func runUntil(t *testing.T, binary []byte, n int) string {
	t.Helper()
	ctx := t.Context()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features).WithMemoryLimitPages(512))
	defer runtime.Close(ctx)
	_, err := runtime.NewHostModuleBuilder(wasm.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			if n--; n <= 0 {
				panic(errors.New("stopped"))
			}
			stack[0] = wasm.Quantum
		}), nil, []api.ValueType{api.ValueTypeI32}).Export(wasm.FuelFunction).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	module, err := runtime.Instantiate(ctx, binary)
	if err != nil {
		t.Fatalf("instantiate: %v", err)
	}
	_, err = module.ExportedFunction("run").Call(ctx, 60)
	if err == nil {
		return "returned"
	}
	trap, _, _ := strings.Cut(err.Error(), "\n")
	return trap
}

func TestRewriteDescribesTheModule(t *testing.T) {
	m := New()
	m.Import("wapc", "__console_log", m.Type([]byte{I32, I32}, nil))
	m.ImportMemory("env", "memory", 2)
	m.Export("memory", KindMemory, 0)
	m.Global(1)
	m.Global(2)
	m.Export("run", KindFunction, m.Func(m.Type([]byte{I32}, []byte{I32}), I32Const(65536*2-1), I32Load8))
	got := rewrite(t, m.Bytes())
	if diff := cmp.Diff([]wasm.Import{{Module: "wapc", Name: "__console_log", Kind: wasm.KindFunction}}, got.Imports); diff != "" {
		t.Errorf("imports: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{"kubewarden:global:0", "kubewarden:global:1"}, got.Globals); diff != "" {
		t.Errorf("globals: -want +got\n%s", diff)
	}
	if got.Unrestorable != "" {
		t.Errorf("unrestorable: got %q, want none", got.Unrestorable)
	}
	if want := "table.set"; rewrite(t, indirect()).Unrestorable != "" || rewrite(t, tableSet()).Unrestorable != want {
		t.Errorf("a module that only reads its table can be restored, one with %s cannot", want)
	}
}

func TestRewriteJoinsData(t *testing.T) {
	const text, count = "0123456789", 1000
	segment := func(address int32, content string) []byte {
		return slices.Concat([]byte{0}, I32Const(address), End, Name(content))
	}
	near, far := strings.Repeat(text+strings.Repeat("\x00", 256), count), make([][]byte, count)
	near = near[:len(near)-256]
	for number := range int32(count) {
		far[number] = segment(number*267, text)
	}
	joined := [][]byte{segment(0, near)}
	tests := map[string]struct {
		address func(number int32) int32
		want    [][]byte
	}{
		"near, in order":     {func(number int32) int32 { return number * 266 }, joined},
		"near, in any order": {func(number int32) int32 { return number * 7 % count * 266 }, joined},
		"far":                {func(number int32) int32 { return number * 267 }, far},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := New()
			m.Memory(5)
			for number := range int32(count) {
				m.Data(tc.address(number), []byte(text))
			}
			if want := Section(11, Vector(tc.want...)); !bytes.HasSuffix(rewrite(t, m.Bytes()).Wasm, want) {
				t.Errorf("the module does not end with %d data segments", len(tc.want))
			}
		})
	}
}

// Tiny segments at a distance do not make a large module.
func TestRewriteJoinsDataWithinBounds(t *testing.T) {
	const count, distance = 20_000, 200
	m := New()
	m.Memory(count*distance>>16 + 1)
	for number := range int32(count) {
		m.Data(number*distance, []byte("x"))
	}
	binary := m.Bytes()
	got := len(rewrite(t, binary).Wasm)
	if most := len(binary) + 1<<20; got > most || got < len(binary)+1<<19 {
		t.Errorf("%d bytes became %d, want no more than %d, and some of the segments joined", len(binary), got, most)
	}
}

func TestRewriteRefuses(t *testing.T) {
	withSection := func(id byte, body ...byte) []byte {
		m := New()
		m.Section(id, body)
		return m.Bytes()
	}
	tests := map[string]struct {
		binary []byte
		want   string
	}{
		"nothing":                           {nil, "offset 0x0: not a WebAssembly module: it does not begin with \\0asm"},
		"a component":                       {[]byte("\x00asm\x0d\x00\x01\x00"), "offset 0x4: not WebAssembly version 1: components are not supported"},
		"an atomic instruction":             {program(1, []byte{0xfe, 0x03, 0x00}), "offset 0x34: opcode 0xfe (threads) is not supported"},
		"exception handling":                {program(0, []byte{0x1f, 0x40, 0x00}), "opcode 0x1f (exception handling) is not supported"},
		"garbage collection":                {program(0, []byte{0xfb, 0x00, 0x00}), "opcode 0xfb (garbage collection) is not supported"},
		"an unknown opcode":                 {program(0, []byte{0xff}), "opcode 0xff is not supported"},
		"an unknown bulk operation":         {program(0, []byte{0xfc, 0x20}), "opcode 0xfc 0x20 is not supported"},
		"relaxed vectors":                   {program(0, []byte{0xfd, 0x80, 0x02}), "opcode 0xfd 0x100 is not supported"},
		"access to a second memory":         {program(1, []byte{0x28, 0x40, 0, 0}), "alignment 2^64 of a memory access is not supported"},
		"access to a second memory, inside": {program(1, []byte{0x28, 0x40, 0, 0}, make([]byte, 9)), "alignment 2^64 of a memory access is not supported"},
		"a block of an unknown type":        {program(1, []byte{0x02, 0x6e}, make([]byte, 9)), "value type 0x6e is not supported"},
		"a second memory":                   {program(1, []byte{0x3f, 0x01}), "more than one memory is not supported"},
		"a memory of 64 bits":               {withSection(5, 1, 4, 1), "64-bit memory is not supported"},
		"a shared memory":                   {withSection(5, 1, 3, 1, 2), "shared memory is not supported"},
		"a vast table":                      {withSection(4, 1, 0x70, 0, 0x80, 0x80, 0x80, 0x40), "table of 134217728 elements, at most 1048576 are allowed"},
		"a vast count of imports":           {withSection(2, 0xff, 0xff, 0xff, 0xff, 0x0f), "4294967295 imports announced, 0 bytes left"},
		"vast locals": {func() []byte {
			m := New()
			m.Section(1, Vector([]byte{0x60, 0, 0}))
			m.Section(3, Vector(U32(0)))
			m.Section(10, Vector([]byte{8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, I32, 0x0b}))
			return m.Bytes()
		}(), "4294967295 locals, at most 50000 are allowed"},
		"a tag section":          {withSection(13, 1, 0, 0), "exception handling is not supported"},
		"a struct type":          {withSection(1, 1, 0x5f, 0), "type form 0x5f is not supported: only functions are"},
		"functions without body": {withSection(3, 1, 0), "1 functions are declared, 0 have a body"},
		"a section out of order": {append(program(0, I32Const(0)), Section(1, []byte{0})...), "section 1 stands out of order or twice"},
		"an unknown section":     {append(program(0, I32Const(0)), Section(14, []byte{0})...), "unknown section 14"},
		"bytes behind a section": {withSection(8, 0, 0), "1 bytes after the end of section 8"},
		"a function of very many loops": {
			program(0, bytes.Repeat(Loop(), 2001), I32Const(0)),
			"function with 2001 loops, at most 2000 are allowed",
		},
		"a function of many blocks over many locals": {func() []byte {
			m := New()
			m.FuncWithLocals(m.Type(nil, nil), make([]byte, 0), bytes.Repeat(Block(), 100))
			m.FuncWithLocals(m.Type(nil, nil), bytes.Repeat([]byte{I32}, 2000), bytes.Repeat(Block(), 1001))
			return m.Bytes()
		}(), "function with 1001 blocks over 2000 locals would take too much memory to compile"},
		"many functions of many blocks": {func() []byte {
			m := New()
			for range 3 {
				m.Func(m.Type(nil, nil), bytes.Repeat(Block(), 30_000))
			}
			return m.Bytes()
		}(), "module would take too long to compile"},
		"a branch to very many places": {
			program(0, Block(I32Const(0), []byte{0x0e}, U32(200_000), make([]byte, 200_001)), I32Const(0)),
			"module would take too long to compile: its functions have too many blocks or branches",
		},
		"a number beyond 32 bits": {program(0, []byte{0x41, 0xff, 0xff, 0xff, 0xff, 0x1f}), "number does not fit 32 bits"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := wasm.Rewrite(tc.binary)
			if _, ok := errors.AsType[*wasm.FormatError](err); !ok {
				t.Fatalf("got error %v, want a *FormatError", err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %q\nwant %q", err, tc.want)
			}
		})
	}
}

// A module that is cut off anywhere is refused, or was whole without what was cut off.
func TestRewriteRefusesTruncated(t *testing.T) {
	for _, binary := range [][]byte{program(80, I32Const(0), I32Const(1), I32Const(2), MemoryFill, I32Const(0)), elementForms(), vectors()} {
		for n := range binary {
			rewritten, err := wasm.Rewrite(binary[:n])
			if err == nil && rewritten.Wasm == nil {
				t.Errorf("%d of %d bytes: neither an error nor a module", n, len(binary))
			}
		}
	}
}

func TestRewriteKeepsFunctionNames(t *testing.T) {
	m := New()
	log := m.Import("wapc", "__console_log", m.Type([]byte{I32, I32}, nil))
	trap := m.Func(m.Type([]byte{I32}, []byte{I32}), Unreachable)
	m.Export("run", KindFunction, trap)
	names := Section(1, Vector(append(U32(log), Name("log")...), append(U32(trap), Name("explode")...)))
	m.Custom("name", append(Section(0, Name("mine")), names...))

	ctx := t.Context()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features))
	defer runtime.Close(ctx)
	compiled, err := runtime.CompileModule(ctx, rewrite(t, m.Bytes()).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := compiled.Name(), "mine"; got != want {
		t.Errorf("module name: got %q, want %q", got, want)
	}
	if got, want := compiled.ExportedFunctions()["run"].Name(), "explode"; got != want {
		t.Errorf("function name: got %q, want %q", got, want)
	}
	if got, want := compiled.ImportedFunctions()[0].Name(), "log"; got != want {
		t.Errorf("name of the import: got %q, want %q", got, want)
	}

	m.Custom("name", nil) // a second one does not count
	broken := New()
	broken.Custom("name", []byte{1, 200, 1})
	for _, binary := range [][]byte{m.Bytes(), broken.Bytes()} {
		if _, err := runtime.CompileModule(ctx, rewrite(t, binary).Wasm); err != nil {
			t.Errorf("a name section must not make a module invalid: %v", err)
		}
	}
}

func TestCustomSections(t *testing.T) {
	m := New()
	m.Custom("a", []byte("first"))
	m.Custom("a", []byte("second"))
	m.Custom("b", []byte("other"))
	module, err := wasm.Parse(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got, present := module.CustomSection("a"); !present || string(got) != "first" {
		t.Errorf("got %q, %v; want the first section of the name", got, present)
	}
	if _, present := module.CustomSection("c"); present {
		t.Error("found a section that is not there")
	}
	changed, err := wasm.SetCustomSection(m.Bytes(), "a", []byte("third"))
	if err != nil {
		t.Fatal(err)
	}
	want := New()
	want.Custom("b", []byte("other"))
	want.Custom("a", []byte("third"))
	if diff := cmp.Diff(want.Bytes(), changed); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := wasm.SetCustomSection([]byte("nonsense"), "a", nil); err == nil {
		t.Error("set a section of what is no module")
	}
}
