package wasm_test

import (
	"slices"

	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// frame is a function while it is written.
type frame struct {
	*generator
	signature
	locals  []byte // types, the parameters first
	counter map[uint32]bool
	labels  []label // the innermost last
	depth   int
	budget  int // expressions and statements that are not the simplest
}

// label is what a branch can go to: with values of these types.
type label struct {
	types []byte
	loop  bool
}

func (f *frame) write() {
	f.counter = map[uint32]bool{}
	f.locals = append(slices.Clone(f.params), allTypes...)
	for range f.IntN(12) {
		f.local(allTypes[f.IntN(len(allTypes))])
	}
	if f.IntN(8) == 0 { // indices of two bytes
		f.locals = append(f.locals, slices.Repeat([]byte{I64}, 130)...)
		f.locals = append(f.locals, allTypes...)
	}
	f.labels = []label{{types: f.results}}
	code := f.step(slices.Concat(f.leaves(f.results), Return))
	for f.budget > 0 {
		code = append(code, f.statement()...)
	}
	code = slices.Concat(code, f.observeLocals(), f.values(f.results))
	f.m.FuncOfBody(f.typeIndex, slices.Concat(f.groups(), code, End))
}

// groups are the locals in their binary form: some types one by one, some together, some of
// a count of 0.
func (f *frame) groups() []byte {
	var groups [][]byte
	for _, t := range f.locals[len(f.params):] {
		last := len(groups) - 1
		if last >= 0 && groups[last][1] == t && groups[last][0] < 100 && f.IntN(4) > 0 {
			groups[last][0]++
			continue
		}
		if f.IntN(10) == 0 {
			groups = append(groups, []byte{0, F32})
		}
		groups = append(groups, []byte{1, t})
	}
	return Vector(groups...)
}

// step takes a step and runs the code when there is none left.
func (f *frame) step(without []byte) []byte {
	return slices.Concat(GlobalGet(globalSteps), I32Const(1), I32Sub, GlobalSet(globalSteps),
		GlobalGet(globalSteps), I32Const(0), []byte{0x48}, If(without)) // i32.lt_s
}

// local adds a local.
func (f *frame) local(t byte) uint32 {
	f.locals = append(f.locals, t)
	return uint32(len(f.locals) - 1)
}

// some is a local of a type that is no counter. There is one of each type.
func (f *frame) some(t byte) uint32 {
	for {
		k := uint32(f.IntN(len(f.locals)))
		if f.locals[k] == t && !f.counter[k] {
			return k
		}
	}
}

func (f *frame) values(types []byte) (code []byte) {
	for _, t := range types {
		code = append(code, f.expression(t)...)
	}
	return code
}

// take sets locals to what is on the stack.
func (f *frame) take(types []byte) (code []byte) {
	for _, t := range slices.Backward(types) {
		code = append(code, LocalSet(f.some(t))...)
	}
	return code
}

func drop(types []byte) []byte { return slices.Repeat(Drop, len(types)) }

// block encloses code in a block, loop or if.
func (f *frame) block(op byte, params, results []byte, code ...[]byte) []byte {
	head := []byte{op, 0x40}
	switch {
	case len(params) == 0 && len(results) == 1:
		head[1] = results[0]
	case len(params)+len(results) > 0:
		head = append(head[:1], S64(int64(f.m.Type(params, results)))...)
	}
	return slices.Concat(head, slices.Concat(code...), End)
}

// within writes code that stands in a block, which a branch can go to with these types.
func (f *frame) within(to label, code func() []byte) []byte {
	f.labels = append(f.labels, to)
	f.depth++
	defer func() {
		f.labels = f.labels[:len(f.labels)-1]
		f.depth--
	}()
	return code()
}

// statements are some, fewer where they are nested deep.
func (f *frame) statements() (code []byte) {
	if f.depth > 8 || f.budget < 0 {
		return nil
	}
	for range 1 + f.IntN(4) {
		code = append(code, f.statement()...)
	}
	return code
}

// loop is a loop in a block, which takes values and leaves others. It runs some times or
// until a condition says so.
func (f *frame) loop(results []byte) []byte {
	params := f.types(allTypes, 3)
	if f.IntN(2) == 0 {
		params = nil
	}
	if len(params) > 0 {
		f.seen["loop with parameters"]++
	}
	for _, t := range params {
		if t != I32 {
			f.seen["loop with parameters of other types"]++
		}
	}
	for k := range f.labels {
		if f.labels[k].loop {
			f.seen["loop in a loop"]++
		}
	}
	counter := f.local(I32)
	f.counter[counter] = true
	before := slices.Concat(I32Const(int32(1+f.IntN(5))), LocalSet(counter), f.values(params))
	inside := f.within(label{types: results}, func() []byte {
		return f.within(label{types: params, loop: true}, func() []byte {
			return f.loopBody(params, results, counter)
		})
	})
	return append(before, f.block(0x02, params, results, f.block(0x03, params, results, inside))...)
}

func (f *frame) loopBody(params, results []byte, counter uint32) []byte {
	// The branch leads out of the if, the loop and its block.
	leave := f.within(label{}, func() []byte { return append(f.leaves(results), Br(2)...) })
	code := slices.Concat(f.step(leave), f.take(params), f.statements())
	if f.IntN(3) == 0 {
		code = append(code, f.observeLocals()...)
	}
	code = append(code, f.values(params)...)
	if f.IntN(4) == 0 {
		code = append(code, f.expression(I32)...)
	} else {
		code = slices.Concat(code, LocalGet(counter), I32Const(1), I32Sub, []byte{0x22}, U32(counter)) // local.tee
	}
	return slices.Concat(code, BrIf(0), drop(params), f.values(results))
}

// leaves are values that are written without blocks.
func (f *frame) leaves(types []byte) (code []byte) {
	for _, t := range types {
		code = append(code, f.leaf(t)...)
	}
	return code
}

// observeLocals tells the host what all locals hold.
func (f *frame) observeLocals() (code []byte) {
	for k, t := range f.locals {
		if k < 40 || f.IntN(20) == 0 {
			code = slices.Concat(code, LocalGet(uint32(k)), observe(t))
		}
	}
	return code
}
