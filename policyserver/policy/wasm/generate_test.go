package wasm_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

const (
	v128      = 0x7b
	funcRef   = 0x70
	externRef = 0x6f
)

// Functions, globals and the memory of a generated module.
const (
	functionTrace   = 0 // imported: (i32, i64, f32, f64)
	functionCanon32 = 1 // f32 to its bits, every NaN to the same
	functionCanon64 = 2
	functionObserve = 3  // tells the host a value, one for each of allTypes
	functionFirst   = 10 // of the random ones

	globalSteps = 0 // what is left of the steps, see generator
	globalTaken = 1 // the steps that were taken in calls that have returned

	globalFirst = 2 // of the random ones

	stepsOfCall = 300 // of a function by run
)

var (
	numbers  = []byte{I32, I64, F32, F64}
	allTypes = []byte{I32, I64, F32, F64, v128, funcRef, externRef}
	// globalTypes are those of the random globals; each is exported as "g" and its index.
	globalTypes = []byte{I32, I64, F32, F64, I64}
)

// generator writes random modules that are valid, end, and can be observed.
//
// Valid: it writes expressions of a type that is asked for, and statements that leave the
// stack as it was. They end: each entry of a function and of a loop takes one of the module's
// steps; without steps functions return and loops are left. Observed: the function "run" takes
// an i32 and returns one, the memory and the globals are exported, and a function of the host
// is told what the locals hold. No bits of a NaN are observed, because they may differ from
// one compilation to the next.
type generator struct {
	*rand.Rand
	m         *Module
	functions []signature
	targets   []uint32 // the functions in the table, by index
	seen      map[string]int
}

type signature struct {
	params, results []byte
	index           uint32 // of the function
	typeIndex       uint32
}

// generate is the module of a seed. What it holds of each construct is added to seen.
func generate(seed uint64, seen map[string]int) []byte {
	m := New()
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), m: m, seen: seen}
	m.Import("host", "trace", m.Type([]byte{I32, I64, F32, F64}, nil))
	m.Memory(1)
	m.Func(m.Type([]byte{F32}, []byte{I32}), canonical(F32))
	m.Func(m.Type([]byte{F64}, []byte{I64}), canonical(F64))
	for _, t := range allTypes {
		m.Func(m.Type([]byte{t}, nil), observer(t))
	}
	g.declare()
	for _, function := range g.functions {
		(&frame{generator: g, signature: function, budget: 50 + g.IntN(500)}).write()
	}
	g.writeRun()
	g.writeGlobals()
	elements := make([][]byte, 0, len(g.targets))
	for _, target := range g.targets {
		elements = append(elements, U32(target))
	}
	m.Section(4, Vector(append([]byte{funcRef, 0}, U32(uint32(len(elements)+1))...)))
	m.Section(9, Vector(slices.Concat([]byte{0}, I32Const(0), End, Vector(elements...))))
	return m.Bytes()
}

// declare chooses the signatures. Some are the same, for calls in place of the caller.
func (g *generator) declare() {
	for k := range uint32(2 + g.IntN(5)) {
		s := signature{params: g.types(allTypes, 5), results: g.types(numbers, 2), index: functionFirst + k}
		if k > 0 && g.IntN(2) == 0 {
			other := g.functions[g.IntN(len(g.functions))]
			s.results = other.results
			if g.IntN(2) == 0 {
				s.params = other.params
			}
		}
		s.typeIndex = g.m.Type(s.params, s.results)
		g.functions = append(g.functions, s)
		g.targets = append(g.targets, s.index)
	}
}

// types are up to most types of those.
func (g *generator) types(of []byte, most int) []byte {
	list := make([]byte, g.IntN(most+1))
	for k := range list {
		list[k] = of[g.IntN(len(of))]
	}
	return list
}

// writeRun adds the function "run", which calls every function, each with steps of its own,
// and returns the steps that the last one left.
func (g *generator) writeRun() {
	f := &frame{generator: g, signature: signature{params: []byte{I32}, results: []byte{I32}}, locals: append([]byte{I32}, allTypes...)}
	var code []byte
	for _, function := range g.functions {
		code = slices.Concat(code, I32Const(stepsOfCall), GlobalSet(globalSteps), f.call(function))
		for _, result := range slices.Backward(function.results) {
			code = append(code, observe(result)...)
		}
		code = slices.Concat(code, GlobalGet(globalTaken), I32Const(stepsOfCall), I32Add, GlobalGet(globalSteps), I32Sub, GlobalSet(globalTaken))
	}
	code = slices.Concat(code, GlobalGet(globalSteps))
	typeIndex := g.m.Type(f.params, f.results)
	g.m.Export("run", KindFunction, g.m.FuncOfBody(typeIndex, slices.Concat(f.groups(), code, End)))
}

func (g *generator) writeGlobals() {
	zero := slices.Concat([]byte{I32, 1}, I32Const(0), End)
	globals := append(make([][]byte, 0, globalFirst+len(globalTypes)), zero, zero)
	g.m.Export("steps", KindGlobal, globalSteps)
	g.m.Export("taken", KindGlobal, globalTaken)
	for k, t := range globalTypes {
		globals = append(globals, slices.Concat([]byte{t, 1}, g.constant(t), End))
		g.m.Export(fmt.Sprintf("g%d", k), KindGlobal, uint32(globalFirst+k))
	}
	g.m.Section(6, Vector(globals...))
}

// observer is the code of a function that tells the host a value.
func observer(t byte) []byte {
	code := make([][]byte, 0, len(numbers))
	for _, number := range numbers {
		part := slices.Concat([]byte{0x41 + I32 - number}, make([]byte, map[byte]int{I32: 1, I64: 1, F32: 4, F64: 8}[number]))
		switch {
		case t == number:
			part = LocalGet(0)
		case t == v128 && number == I32:
			part = slices.Concat(LocalGet(0), []byte{0xfd, 0x1b, 1}) // i32x4.extract_lane
		case t == v128 && number == I64:
			part = slices.Concat(LocalGet(0), []byte{0xfd, 0x1d, 1}) // i64x2.extract_lane
		case t <= funcRef && number == I32:
			part = slices.Concat(LocalGet(0), []byte{0xd1}) // ref.is_null
		}
		code = append(code, part)
	}
	return slices.Concat(slices.Concat(code...), Call(functionTrace))
}

// observe takes a value from the stack and tells it the host.
func observe(t byte) []byte { return Call(functionObserve + uint32(slices.Index(allTypes, t))) }

// constant pushes a number, or nothing of another type.
func (g *generator) constant(t byte) []byte {
	small := int64(g.IntN(300) - 100)
	if g.IntN(4) == 0 {
		small = int64(g.Uint64()) >> g.IntN(64)
	}
	switch t {
	case I32:
		return I32Const(int32(small))
	case I64:
		return I64Const(small)
	case F32:
		return append([]byte{0x43}, g.float(8, 4)...)
	case F64:
		return append([]byte{0x44}, g.float(11, 8)...)
	case v128:
		return slices.Concat([]byte{0xfd, 0x0c}, binary.LittleEndian.AppendUint64(nil, g.Uint64()), binary.LittleEndian.AppendUint64(nil, uint64(small)))
	default:
		return []byte{0xd0, t}
	}
}

// float is a finite number near 1.
func (g *generator) float(exponentBits, size int) []byte {
	bits := g.Uint64() >> (64 - size*8)
	fraction := size*8 - 1 - exponentBits
	bias := uint64(1)<<(exponentBits-1) - 1
	bits &^= (uint64(1)<<exponentBits - 1) << fraction
	bits |= (bias + uint64(g.IntN(12))) << fraction
	return binary.LittleEndian.AppendUint64(nil, bits)[:size]
}

// canonical is the code of a function from a float to its bits.
func canonical(t byte) []byte {
	if t == F32 {
		return slices.Concat(LocalGet(0), []byte{0xbc}, I32Const(0x7fc00000), LocalGet(0), LocalGet(0), []byte{0x5b, 0x1b})
	}
	return slices.Concat(LocalGet(0), []byte{0xbd}, I64Const(0x7ff8<<48), LocalGet(0), LocalGet(0), []byte{0x61, 0x1b})
}
