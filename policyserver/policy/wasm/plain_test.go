package wasm_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// spelling is code in its shortest form, and with every number in it spelled long. Code that
// is in its shortest form is copied as it is, all other code is taken apart and written anew.
type spelling struct{ short, long []byte }

func (s *spelling) add(opcode byte, numbers ...int64) {
	s.short, s.long = append(s.short, opcode), append(s.long, opcode)
	for _, number := range numbers {
		spelled, padding, longest := U32(uint32(number)), byte(0), 5
		if opcode == 0x41 || opcode == 0x42 { // i32.const, i64.const
			spelled = S64(number)
			if number < 0 {
				padding = 0x7f
			}
		}
		if opcode == 0x42 {
			longest = 10
		}
		s.short, s.long = append(s.short, spelled...), append(s.long, spelled...)
		if len(spelled) < longest {
			s.long[len(s.long)-1] |= 0x80
			s.long = append(s.long, padding)
		}
	}
}

// Instructions with each kind of number, and which numbers they may have.
var numbered = []struct {
	opcodes     []byte
	before      []int64 // numbers that come first
	least, most int64
}{
	{opcodes: []byte{0x0c, 0x0d, 0x14, 0x23, 0x24, 0x25, 0x26, 0xd5}, most: math.MaxUint32},
	{opcodes: []byte{0x20, 0x21, 0x22}, most: 299},
	{opcodes: []byte{0x28, 0x35, 0x37, 0x3e}, before: []int64{0}, most: math.MaxUint32},
	{opcodes: []byte{0x29, 0x36}, before: []int64{31}, most: math.MaxUint32},
	{opcodes: []byte{0x10, 0x12, 0xd2}, most: math.MaxUint32 - 10},
	{opcodes: []byte{0x11}, before: []int64{300}, most: math.MaxUint32},
	{opcodes: []byte{0x41}, least: math.MinInt32, most: math.MaxInt32},
	{opcodes: []byte{0x42}, least: math.MinInt64, most: math.MaxInt64},
}

// near gives numbers around those at which a form gets longer.
func near(least, most int64) []int64 {
	numbers := []int64{least, most}
	for bits := range 63 {
		for _, number := range []int64{1<<bits - 1, 1 << bits, -1 << bits, -1<<bits - 1} {
			if least <= number && number <= most {
				numbers = append(numbers, number)
			}
		}
	}
	return numbers
}

// ofCode is a module with one function of 300 locals.
func ofCode(code []byte) []byte {
	m := New()
	m.Table(1, 0)
	m.FuncWithLocals(m.Type(nil, nil), slices.Repeat([]byte{I32}, 300), code)
	return m.Bytes()
}

func compareSpellings(t *testing.T, of spelling, what string) {
	t.Helper()
	short, long := rewrite(t, ofCode(of.short)), rewrite(t, ofCode(of.long))
	if !bytes.Equal(short.Wasm, long.Wasm) || short.Unrestorable != long.Unrestorable {
		t.Errorf("%s: spelled long it becomes another module:\n% x\n% x", what, short.Wasm, long.Wasm)
	}
}

// Whatever the form of a number, it is written in its shortest.
func TestRewriteSpellsShort(t *testing.T) {
	nops := slices.Repeat([]byte{0x01}, 20) // what stands at the end of a function is read more closely
	for _, kind := range numbered {
		for _, opcode := range kind.opcodes {
			for _, number := range near(kind.least, kind.most) {
				var code spelling
				code.add(opcode, append(slices.Clone(kind.before), number)...)
				what := fmt.Sprintf("opcode %#x with %d", opcode, number)
				compareSpellings(t, code, what+" at the end")
				code.short, code.long = append(code.short, nops...), append(code.long, nops...)
				compareSpellings(t, code, what)
			}
		}
	}
}

// Code that is copied as it is gets the same fuel as code that is taken apart, and the same
// locals are carried by its loops.
func TestRewriteSpellsAnyCodeShort(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		var code spelling
		for range 20 {
			someSpellings(random, &code, 0)
		}
		compareSpellings(t, code, fmt.Sprintf("seed %d", seed))
		if t.Failed() {
			return
		}
	}
}

// someSpellings adds code that is well nested, and need not make any other sense.
func someSpellings(random *rand.Rand, to *spelling, depth int) {
	for range random.IntN(30) {
		switch choice := random.IntN(10); {
		case choice < 3:
			to.add(0x01) // nop
		case choice < 6:
			to.add([]byte{0x20, 0x21, 0x22}[random.IntN(3)], int64(random.IntN(3+random.IntN(297))))
		case choice < 9 || depth > 4:
			kind := numbered[random.IntN(len(numbered))]
			numbers := near(kind.least, kind.most)
			to.add(kind.opcodes[random.IntN(len(kind.opcodes))], append(slices.Clone(kind.before), numbers[random.IntN(len(numbers))])...)
		default:
			block := []byte{byte(0x02 + random.IntN(3)), []byte{0x40, I32, I64, F32, F64, 0x7b, 0x70}[random.IntN(7)]}
			to.short, to.long = append(to.short, block...), append(to.long, block...)
			someSpellings(random, to, depth+1)
			to.add(0x0b)
		}
	}
}
