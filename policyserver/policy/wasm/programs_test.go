package wasm_test

import (
	"bytes"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// Programs whose sections no compiler at hand writes. Each has run(i32) i32.

func tailCalls() []byte {
	m := New()
	i32 := []byte{I32}
	typeIndex := m.Type(i32, i32)
	m.Func(typeIndex, LocalGet(0), IfI32(LocalGet(0), I32Const(1), I32Sub, ReturnCall(0), Else, I32Const(42)))
	m.Export("run", KindFunction, 0)
	return m.Bytes()
}

// indirect calls the function of a table that its argument names.
func indirect() []byte {
	m := New()
	i32 := []byte{I32}
	typeIndex := m.Type(i32, i32)
	one := m.Func(typeIndex, LocalGet(0), I32Const(1), I32Add)
	two := m.Func(typeIndex, LocalGet(0), I32Const(2), I32Mul)
	m.Section(4, []byte{1, 0x70, 0, 3})
	m.Section(9, Vector(slices.Concat([]byte{0}, I32Const(0), End, Vector(U32(one), U32(two)))))
	m.Export("run", KindFunction, m.Func(typeIndex, I32Const(20), LocalGet(0), []byte{0x11}, U32(typeIndex), U32(0)))
	return m.Bytes()
}

func tableSet() []byte {
	m := New()
	i32 := []byte{I32}
	m.Section(4, []byte{1, 0x70, 0, 3})
	m.Export("run", KindFunction, m.Func(m.Type(i32, i32), I32Const(0), []byte{0xd0, 0x70}, []byte{0x26, 0}, I32Const(0)))
	return m.Bytes()
}

// typedReference keeps a reference in a local of type (ref null $t) and calls it.
func typedReference() []byte {
	m := New()
	i32 := []byte{I32}
	typeIndex := m.Type(i32, i32)
	square := m.Func(typeIndex, LocalGet(0), LocalGet(0), I32Mul)
	body := slices.Concat(
		[]byte{1, 1, 0x63, byte(typeIndex)}, // one local
		[]byte{0xd2}, U32(square), LocalSet(1),
		LocalGet(0), LocalGet(1), []byte{0xd4}, []byte{0x14}, U32(typeIndex), // ref.as_non_null, call_ref
		Block(LocalGet(1), []byte{0xd5, 0}, Drop), // br_on_null
		LocalGet(1), []byte{0xd1}, I32Add, // ref.is_null
		[]byte{0xd0}, U32(typeIndex), []byte{0xd1}, I32Add,
		End,
	)
	squareBody := slices.Concat([]byte{0}, LocalGet(0), LocalGet(0), I32Mul, End)
	m.Section(3, Vector(U32(typeIndex), U32(typeIndex)))
	m.Section(10, Vector(append(U32(uint32(len(squareBody))), squareBody...), append(U32(uint32(len(body))), body...)))
	m.Section(9, Vector(slices.Concat([]byte{3, 0}, Vector(U32(square))))) // declarative
	m.Export("run", KindFunction, 1)
	return m.Bytes()
}

// settingReference has a loop that sets a local of type (ref $t), which has no value before.
func settingReference() []byte {
	m := New()
	i32 := []byte{I32}
	typeIndex := m.Type(i32, i32)
	square := m.Func(typeIndex, LocalGet(0), LocalGet(0), I32Mul)
	m.Section(9, Vector(slices.Concat([]byte{3, 0}, Vector(U32(square))))) // declarative
	m.Export("run", KindFunction, m.FuncOfBody(typeIndex, slices.Concat(
		Vector([]byte{1, 0x64, byte(typeIndex)}, []byte{1, I32}),
		Loop(
			[]byte{0xd2}, U32(square), LocalSet(1),
			LocalGet(2), LocalGet(0), LocalGet(1), []byte{0x14}, U32(typeIndex), I32Add, LocalSet(2), // call_ref
			LocalGet(0), I32Const(1), I32Sub, []byte{0x22, 0}, BrIf(0), // local.tee
		),
		LocalGet(2), End)))
	return m.Bytes()
}

// longLoop has a loop whose instructions are worth more than the fuel of one tick.
func longLoop() []byte {
	return program(0, Loop(
		bytes.Repeat([]byte{0x01}, 33*wasm.Quantum), // nop
		LocalGet(1), LocalGet(0), I32Add, LocalSet(1),
		LocalGet(0), I32Const(1), I32Sub, []byte{0x22, 0}, BrIf(0), // local.tee
	), LocalGet(1))
}

// elementForms fills a table by element segments of all eight forms; run calls an element.
// Elements that no segment fills are null and trap.
func elementForms() []byte {
	m := New()
	i32 := []byte{I32}
	typeIndex := m.Type(i32, i32)
	m.Import("wapc", "unused", m.Type(nil, nil))
	m.Section(2, []byte{0}) // so that indices of local functions begin at 0 in the run, too
	functions := make([][]byte, 4)
	for k := range functions {
		index := m.Func(typeIndex, I32Const(int32(100+k)))
		functions[k] = U32(index - 1)
	}
	reference := func(function []byte) []byte { return slices.Concat([]byte{0xd2}, function, End) }
	at := func(offset int32) []byte { return append(I32Const(offset), End...) }
	m.Section(4, Vector([]byte{0x70, 0, 12}, []byte{0x40, 0, 0x70, 0, 12, 0xd0, 0x70, 0x0b}))
	m.Section(9, Vector(
		slices.Concat([]byte{0}, at(0), Vector(functions[0], functions[1])),
		slices.Concat([]byte{1, 0}, Vector(functions[1])),
		slices.Concat([]byte{2, 0}, at(2), []byte{0}, Vector(functions[2])),
		slices.Concat([]byte{3, 0}, Vector(functions[3])),
		slices.Concat([]byte{4}, at(3), Vector(reference(functions[3]), []byte{0xd0, 0x70, 0x0b})),
		slices.Concat([]byte{5, 0x70}, Vector(reference(functions[0]))),
		slices.Concat([]byte{6, 0}, at(5), []byte{0x70}, Vector(reference(functions[1]))),
		slices.Concat([]byte{7, 0x70}, Vector(reference(functions[2]))),
	))
	run := m.Func(typeIndex,
		I32Const(6), I32Const(0), I32Const(1), []byte{0xfc, 12, 1, 0}, // table.init from the passive ones
		I32Const(7), I32Const(0), I32Const(1), []byte{0xfc, 12, 5, 0},
		I32Const(8), I32Const(0), I32Const(2), []byte{0xfc, 14, 0, 0}, // table.copy
		I32Const(10), []byte{0xd2}, functions[3], I32Const(1), []byte{0xfc, 17, 0}, // table.fill
		[]byte{0xd0, 0x70}, I32Const(1), []byte{0xfc, 15, 0}, Drop, // table.grow
		[]byte{0xfc, 13, 1}, // elem.drop
		LocalGet(0), LocalGet(0), []byte{0x11}, U32(typeIndex), U32(0),
	)
	m.Export("run", KindFunction, run-1)
	return m.Bytes()
}

func passiveData() []byte {
	m := New()
	i32 := []byte{I32}
	m.Memory(1)
	m.Section(12, U32(2))
	m.Section(11, Vector(
		append([]byte{1}, Vector([]byte("p"), []byte("q"), []byte("r"), []byte("s"))...),
		slices.Concat([]byte{2, 0}, I32Const(100), End, U32(2), []byte("xy")),
	))
	m.Export("run", KindFunction, m.Func(m.Type(i32, i32),
		I32Const(10), I32Const(0), LocalGet(0), []byte{0xfc, 8, 0, 0}, // memory.init
		[]byte{0xfc, 9, 0}, // data.drop
		I32Const(10), I32Load, I32Const(100), I32Load8, I32Add,
	))
	return m.Bytes()
}

func startFunction() []byte {
	m := New()
	i32 := []byte{I32}
	counter := m.Global(0)
	start := m.Func(m.Type(nil, nil), I32Const(11), GlobalSet(counter))
	m.Section(8, U32(start))
	m.Export("run", KindFunction, m.Func(m.Type(i32, i32), GlobalGet(counter)))
	return m.Bytes()
}

func globals() []byte {
	m := New()
	i32 := []byte{I32}
	first, second := m.Global(7), m.Global(9)
	m.Export("run", KindFunction, m.Func(m.Type(i32, i32),
		GlobalGet(first), LocalGet(0), I32Add, GlobalSet(second), GlobalGet(second)))
	return m.Bytes()
}

func vectors() []byte {
	constant := append([]byte{0xfd, 0x0c}, []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0}...)
	shuffle := append([]byte{0xfd, 0x0d}, []byte{4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15}...)
	return program(1,
		I32Const(16), constant, []byte{0xfd, 0x0b, 4, 0}, // v128.store
		I32Const(16), []byte{0xfd, 0x00, 4, 0}, // v128.load
		LocalGet(0), []byte{0xfd, 0x11}, // i32x4.splat
		[]byte{0xfd, 0xae, 0x01}, // i32x4.add, whose opcode takes two bytes
		constant, shuffle,
		[]byte{0xfd, 0xa0, 0x01},                           // i32x4.abs
		I32Const(0), constant, []byte{0xfd, 0x56, 2, 0, 1}, // v128.load32_lane
		[]byte{0xfd, 0x1b, 1}, // i32x4.extract_lane
		LocalSet(1),
		[]byte{0xfd, 0x1b, 0}, LocalGet(1), I32Add,
	)
}

// blockParameters is a loop that takes a number and counts it down to zero.
func blockParameters() []byte {
	m := New()
	i32 := []byte{I32}
	typeIndex := m.Type(i32, i32)
	m.Export("run", KindFunction, m.FuncWithLocals(typeIndex, []byte{I32, I32},
		LocalGet(0),
		[]byte{0x03}, U32(typeIndex), // loop (param i32) (result i32)
		I32Const(1), I32Sub, []byte{0x22, 1}, // local.tee
		LocalGet(2), I32Const(3), I32Add, LocalSet(2),
		LocalGet(1), BrIf(0),
		End,
		LocalGet(2), I32Add))
	return m.Bytes()
}

func extendedConstant() []byte {
	m := New()
	i32 := []byte{I32}
	m.Section(6, Vector(
		slices.Concat([]byte{I32, 0}, I32Const(6), End),
		slices.Concat([]byte{I32, 0}, I32Const(6), I32Const(7), I32Mul, End),
		slices.Concat([]byte{0x70, 0, 0xd2, 0}, End), // ref.func of the function below
		slices.Concat([]byte{0x7b, 0, 0xfd, 0x0c}, make([]byte, 16), End),
		slices.Concat([]byte{I64, 1, 0x42, 0x80, 0x7f}, End),
		slices.Concat([]byte{F64, 1, 0x44}, make([]byte, 8), End),
	))
	m.Memory(1)
	m.Section(11, Vector(slices.Concat([]byte{0}, I32Const(42), I32Const(1), I32Add, End, Vector([]byte("x")))))
	m.Export("run", KindFunction, m.Func(m.Type(i32, i32), GlobalGet(1), I32Const(43), I32Load8, I32Add))
	return m.Bytes()
}

// withData has data segments of one page; run loads the byte at its argument.
func withData(segments map[int32]string, order ...int32) []byte {
	m := New()
	i32 := []byte{I32}
	m.Memory(1)
	for _, address := range order {
		m.Data(address, []byte(segments[address]))
	}
	m.Export("run", KindFunction, m.Func(m.Type(i32, i32), LocalGet(0), I32Load8))
	return m.Bytes()
}

// apart has data segments out of order, of which some lie close to each other.
func apart() []byte {
	return withData(map[int32]string{0: "abc", 3: "def", 10: "ghi", 300: "far", 303: "", 65530: "at end"}, 300, 10, 0, 303, 3, 65530)
}

// computed has data segments at an address that is no constant, and close to where another
// would be that is counted from there.
func computed() []byte {
	m := New()
	m.Memory(1)
	at := func(text string, address ...[]byte) []byte {
		return slices.Concat([]byte{0}, slices.Concat(address...), End, Name(text))
	}
	m.Section(11, Vector(at("far", I32Const(60), I32Const(4), I32Add), at("near", I32Const(10))))
	m.Export("run", KindFunction, m.Func(m.Type([]byte{I32}, []byte{I32}), LocalGet(0), I32Load8))
	return m.Bytes()
}

// counted has neighbouring data segments that an instruction names by their index.
func counted() []byte {
	m := New()
	m.Memory(1)
	m.Data(0, []byte("abc"))
	m.Data(3, []byte("def"))
	m.Section(12, U32(2))
	m.Export("run", KindFunction, m.Func(m.Type([]byte{I32}, []byte{I32}), []byte{0xfc, 9, 1}, LocalGet(0), I32Load8)) // data.drop
	return m.Bytes()
}

// overlapping has data segments that lie over each other, so that their order counts.
func overlapping() []byte {
	return withData(map[int32]string{0: "abcdefghij", 3: "XY", 12: "Z", 5: "later", 9: "!"}, 3, 12, 0, 5, 9)
}
