package wasm_test

import (
	"slices"

	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// statement leaves the stack as it was.
func (f *frame) statement() []byte {
	if f.budget--; f.budget < 0 {
		return f.assign()
	}
	statements := []func() []byte{
		f.assign, f.assign, f.assign, f.assign, f.store, f.bulk, f.plainBlock, f.either, f.leave, f.table, f.callAny, f.jump, f.dead,
		f.plainLoop, f.plainLoop, f.grow,
	}
	return statements[f.IntN(len(statements))]()
}

// assign sets a local or a global.
func (f *frame) assign() []byte {
	if f.IntN(4) == 0 {
		k := f.IntN(len(globalTypes))
		return append(f.expression(globalTypes[k]), GlobalSet(uint32(globalFirst+k))...)
	}
	t := allTypes[f.IntN(len(allTypes))]
	return append(f.expression(t), LocalSet(f.some(t))...)
}

func (f *frame) plainLoop() []byte {
	if f.depth > 7 {
		return f.assign()
	}
	results := f.types(allTypes, 2)
	f.seen["loop"]++
	if len(results) > 1 {
		f.seen["loop with results"]++
	}
	return append(f.loop(results), f.take(results)...)
}

func (f *frame) plainBlock() []byte {
	params, results := f.types(allTypes, 2), f.types(allTypes, 2)
	inside := f.within(label{types: results}, func() []byte {
		return slices.Concat(f.take(params), f.statements(), f.values(results))
	})
	return slices.Concat(f.values(params), f.block(0x02, params, results, inside), f.take(results))
}

func (f *frame) either() []byte {
	condition := f.expression(I32)
	inside := f.within(label{}, func() []byte {
		if f.IntN(2) == 0 {
			return f.statements()
		}
		return slices.Concat(f.statements(), Else, f.statements())
	})
	return append(condition, f.block(0x04, nil, nil, inside)...)
}

// leave branches on a condition: to the end of a block, or to the header of a loop.
func (f *frame) leave() []byte {
	depth := f.IntN(len(f.labels))
	to := f.labels[len(f.labels)-1-depth]
	if to.loop {
		f.seen["br_if to a loop"]++
	}
	return slices.Concat(f.values(to.types), f.expression(I32), BrIf(uint32(depth)), drop(to.types))
}

// jump leaves a block, or the function, in an if.
func (f *frame) jump() []byte {
	condition := f.expression(I32)
	inside := f.within(label{}, func() []byte {
		switch f.IntN(4) {
		case 0:
			return append(f.values(f.results), Return...)
		case 1:
			return f.tailCall()
		default:
			return f.branch()
		}
	})
	return append(condition, f.block(0x04, nil, nil, inside)...)
}

// branch goes to a label of outside of the innermost block.
func (f *frame) branch() []byte {
	depth := 1 + f.IntN(len(f.labels)-1)
	to := f.labels[len(f.labels)-1-depth]
	if to.loop {
		f.seen["br to a loop"]++
	}
	return append(f.values(to.types), Br(uint32(depth))...)
}

// dead has code that is never reached, behind a branch in a block.
func (f *frame) dead() []byte {
	if f.depth > 7 {
		return f.assign()
	}
	inside := f.within(label{}, func() []byte { return slices.Concat(Br(0), f.plainLoop(), f.statements()) })
	return f.block(0x02, nil, nil, inside)
}

// tailCall calls a function with the same results in place of this one.
func (f *frame) tailCall() []byte {
	for _, k := range f.Perm(len(f.functions)) {
		if function := f.functions[k]; slices.Equal(function.results, f.results) {
			code := f.leaves(function.params)
			if f.IntN(2) == 0 {
				f.seen["return_call"]++
				return append(code, ReturnCall(function.index)...)
			}
			f.seen["return_call_indirect"]++
			return slices.Concat(code, f.element(function), []byte{0x13}, U32(function.typeIndex), []byte{0})
		}
	}
	return nil
}

// table branches to one of several labels of the same types, which may be headers of loops.
func (f *frame) table() []byte {
	first := f.labels[f.IntN(len(f.labels))]
	depths := make([][]byte, 2+f.IntN(4))
	loops := 0
	for k := range depths {
		depth := f.someLabel(func(l label) bool { return slices.Equal(l.types, first.types) })
		if f.labels[len(f.labels)-1-depth].loop {
			loops++
		}
		depths[k] = U32(uint32(depth + 1)) // the if is one more
	}
	if loops > 0 {
		f.seen["br_table to a loop"]++
	}
	f.seen["br_table"]++
	last := len(depths) - 1
	inside := slices.Concat(f.leaves(first.types), f.leaf(I32), I32Const(7), I32And, []byte{0x0e}, Vector(depths[:last]...), depths[last])
	return append(f.expression(I32), f.block(0x04, nil, nil, inside)...)
}

// callAny calls a function of any results.
func (f *frame) callAny() []byte {
	function := f.functions[f.IntN(len(f.functions))]
	return append(f.call(function), f.take(function.results)...)
}

// bulk fills or copies, mostly within the memory.
func (f *frame) bulk() []byte {
	length := slices.Concat(f.expression(I32), I32Const(0x1ff), I32And)
	if f.IntN(30) == 0 {
		length = f.expression(I32)
	}
	if f.IntN(2) == 0 {
		f.seen["memory.fill"]++
		return slices.Concat(f.address(), f.expression(I32), length, MemoryFill)
	}
	f.seen["memory.copy"]++
	return slices.Concat(f.address(), f.address(), length, MemoryCopy)
}

// grow grows the memory by a page or none, and tells what came of it; or divides by what may
// be zero.
func (f *frame) grow() []byte {
	if f.IntN(8) == 0 {
		return slices.Concat(f.expression(I32), f.expression(I32), []byte{0x6d}, LocalSet(f.some(I32))) // i32.div_s
	}
	f.seen["memory.grow"]++
	return slices.Concat(f.expression(I32), I32Const(1), I32And, MemoryGrow, observe(I32))
}
