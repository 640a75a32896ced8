package wasm_test

import (
	"slices"

	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// operation is an instruction without immediates.
type operation struct {
	code   []byte
	params []byte
}

// operations are by the type of their result. Left out are those that show the bits of a NaN.
var operations = func() map[byte][]operation {
	table := map[byte][]operation{}
	add := func(result byte, params []byte, opcodes ...byte) {
		for _, opcode := range opcodes {
			table[result] = append(table[result], operation{[]byte{opcode}, params})
		}
	}
	span := func(first, last byte) (opcodes []byte) {
		for opcode := first; opcode <= last; opcode++ {
			opcodes = append(opcodes, opcode)
		}
		return opcodes
	}
	twice := func(t byte) []byte { return []byte{t, t} }
	add(I32, twice(I32), slices.Concat(span(0x46, 0x4f), span(0x6a, 0x6c), span(0x71, 0x78))...)
	add(I32, twice(I64), span(0x51, 0x5a)...)
	add(I32, twice(F32), span(0x5b, 0x60)...)
	add(I32, twice(F64), span(0x61, 0x66)...)
	add(I32, []byte{I32}, slices.Concat([]byte{0x45}, span(0x67, 0x69), span(0xc0, 0xc1))...)
	add(I32, []byte{I64}, 0x50, 0xa7)
	add(I64, twice(I64), slices.Concat(span(0x7c, 0x7e), span(0x83, 0x8a))...)
	add(I64, []byte{I64}, slices.Concat(span(0x79, 0x7b), span(0xc2, 0xc4))...)
	add(I64, []byte{I32}, 0xac, 0xad)
	add(F32, twice(F32), span(0x92, 0x97)...)
	add(F32, []byte{F32}, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x91)
	add(F32, []byte{I32}, 0xb2, 0xb3)
	add(F32, []byte{I64}, 0xb4, 0xb5)
	add(F32, []byte{F64}, 0xb6)
	add(F64, twice(F64), span(0xa0, 0xa5)...)
	add(F64, []byte{F64}, 0x99, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f)
	add(F64, []byte{I32}, 0xb7, 0xb8)
	add(F64, []byte{I64}, 0xb9, 0xba)
	add(F64, []byte{F32}, 0xbb)
	more := func(result byte, params []byte, code ...byte) {
		table[result] = append(table[result], operation{code, params})
	}
	for k := range byte(4) { // saturating conversions
		of := []byte{F32, F32, F64, F64}[k]
		more(I32, []byte{of}, 0xfc, k)
		more(I64, []byte{of}, 0xfc, 4+k)
	}
	more(v128, []byte{I32}, 0xfd, 0x11)               // i32x4.splat
	more(v128, []byte{I64}, 0xfd, 0x12)               // i64x2.splat
	more(v128, twice(v128), 0xfd, 0x51)               // v128.xor
	more(v128, twice(v128), 0xfd, 0xae, 0x01)         // i32x4.add
	more(v128, []byte{v128, I64}, 0xfd, 0x1e, 1)      // i64x2.replace_lane
	more(I32, []byte{v128}, 0xfd, 0x1b, 2)            // i32x4.extract_lane
	more(I64, []byte{v128}, 0xfd, 0x1d, 0)            // i64x2.extract_lane
	more(I32, []byte{funcRef}, 0xd1)                  // ref.is_null
	more(I32, []byte{externRef}, 0xd1)                //
	for _, divide := range []byte{0x6e, 0x6f, 0x70} { // unsigned, and remainders; by what is odd
		more(I32, twice(I32), 0x41, 1, 0x72, divide)
	}
	for _, divide := range []byte{0x80, 0x81, 0x82} {
		more(I64, twice(I64), 0x42, 1, 0x84, divide)
	}
	return table
}()

// leaf is a value of a type in one instruction.
func (f *frame) leaf(t byte) []byte {
	switch f.IntN(4) {
	case 0:
		if t == funcRef && f.IntN(2) == 0 {
			f.seen["ref.func"]++
			return append([]byte{0xd2}, U32(f.targets[f.IntN(len(f.targets))])...)
		}
		return f.constant(t)
	case 1:
		if k := slices.Index(globalTypes, t); k >= 0 {
			return GlobalGet(uint32(globalFirst + k))
		}
	}
	return LocalGet(f.some(t))
}

// expression leaves a value of a type on the stack.
func (f *frame) expression(t byte) []byte {
	f.depth++
	defer func() { f.depth-- }()
	if f.budget--; f.budget < 0 || f.depth > 12 {
		return f.leaf(t)
	}
	switch f.IntN(24) {
	case 0:
		if f.depth < 8 {
			f.seen["loop in an expression"]++
			return f.loop([]byte{t})
		}
	case 1:
		return f.choice(t)
	case 2:
		return slices.Concat(f.expression(t), []byte{0x22}, U32(f.some(t))) // local.tee
	case 3:
		return slices.Concat(f.expression(t), f.expression(t), f.expression(I32), []byte{0x1c, 1, t}) // select
	case 4:
		if call := f.callFor(t); call != nil {
			return call
		}
	case 5:
		return f.branchWith(t)
	case 6, 7:
		if t > funcRef {
			return f.load(t)
		}
	case 8:
		if t == I32 {
			return MemorySize
		}
	case 9, 10, 11, 12, 13, 14, 15, 16:
		if known := operations[t]; known != nil {
			operation := known[f.IntN(len(known))]
			return append(f.values(operation.params), operation.code...)
		}
	}
	return f.leaf(t)
}

// choice is an if with a value.
func (f *frame) choice(t byte) []byte {
	condition := f.expression(I32)
	inside := f.within(label{types: []byte{t}}, func() []byte {
		return slices.Concat(f.statements(), f.expression(t), Else, f.expression(t))
	})
	return append(condition, f.block(0x04, nil, []byte{t}, inside)...)
}

// branchWith is a value that may be taken along to the end of an enclosing block.
func (f *frame) branchWith(t byte) []byte {
	depth := f.someLabel(func(l label) bool { return slices.Equal(l.types, []byte{t}) })
	if depth < 0 {
		return f.leaf(t)
	}
	f.seen["br_if with a value"]++
	return slices.Concat(f.expression(t), f.expression(I32), BrIf(uint32(depth)))
}

// someLabel is how far up a label stands, or -1.
func (f *frame) someLabel(fits func(label) bool) int {
	var depths []int
	for k, label := range f.labels {
		if fits(label) {
			depths = append(depths, len(f.labels)-1-k)
		}
	}
	if len(depths) == 0 {
		return -1
	}
	return depths[f.IntN(len(depths))]
}

// callFor calls a function whose one result is of that type.
func (f *frame) callFor(t byte) []byte {
	for _, k := range f.Perm(len(f.functions)) {
		if function := f.functions[k]; slices.Equal(function.results, []byte{t}) {
			return f.call(function)
		}
	}
	return nil
}

// call calls a function by its index or through the table.
func (f *frame) call(function signature) []byte {
	code := f.leaves(function.params)
	if f.depth < 8 {
		code = f.values(function.params)
	}
	if f.IntN(3) > 0 {
		return append(code, Call(function.index)...)
	}
	f.seen["call_indirect"]++
	return slices.Concat(code, f.element(function), CallIndirect(function.typeIndex))
}

// element is the index of a function in the table, now and then of another, which traps
// unless it is of the same type.
func (f *frame) element(function signature) []byte {
	if f.IntN(60) == 0 {
		return I32Const(int32(f.IntN(len(f.targets) + 2)))
	}
	return I32Const(int32(slices.Index(f.targets, function.index)))
}

// address leaves an address of the first page on the stack.
func (f *frame) address() []byte {
	return slices.Concat(f.expression(I32), I32Const(0xff0), I32And)
}

// access is the immediate of a load or store.
func (f *frame) access() []byte { return append([]byte{0}, U32(uint32(f.IntN(200)))...) }

func (f *frame) load(t byte) []byte {
	code := map[byte][][]byte{
		I32: {{0x28}, {0x2c}, {0x2f}}, I64: {{0x29}, {0x31}, {0x34}}, F32: {{0x2a}}, F64: {{0x2b}}, v128: {{0xfd, 0x00}, {0xfd, 0x04}},
	}[t]
	return slices.Concat(f.address(), code[f.IntN(len(code))], f.access())
}

func (f *frame) store() []byte {
	switch f.IntN(5) {
	case 0:
		return slices.Concat(f.address(), f.expression(I32), []byte{[]byte{0x36, 0x3a, 0x3b}[f.IntN(3)]}, f.access())
	case 1:
		return slices.Concat(f.address(), f.expression(I64), []byte{[]byte{0x37, 0x3c, 0x3e}[f.IntN(3)]}, f.access())
	case 2:
		return slices.Concat(f.address(), f.expression(F32), Call(functionCanon32), []byte{0x36}, f.access())
	case 3:
		return slices.Concat(f.address(), f.expression(F64), Call(functionCanon64), []byte{0x37}, f.access())
	default:
		return slices.Concat(f.address(), f.expression(v128), []byte{0xfd, 0x0b}, f.access())
	}
}
