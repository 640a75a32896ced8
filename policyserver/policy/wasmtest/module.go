package wasmtest

import (
	"fmt"
	"maps"
	"slices"
)

// Value types.
const (
	I32 = 0x7f
	I64 = 0x7e
	F32 = 0x7d
	F64 = 0x7c
)

// Kinds of imports and exports.
const (
	KindFunction = 0
	KindTable    = 1
	KindMemory   = 2
	KindGlobal   = 3
)

// Module builds a module. Functions are numbered in the order in which they are added,
// imported ones first. Section replaces what the builder would write, for modules that no
// builder should write.
type Module struct {
	types     [][]byte
	imports   [][]byte
	functions [][]byte
	memory    []byte
	globals   [][]byte
	exports   [][]byte
	codes     [][]byte
	datas     [][]byte
	customs   [][]byte
	replaced  map[byte][]byte
	imported  uint32
}

// New is an empty module.
func New() *Module { return &Module{replaced: map[byte][]byte{}} }

// Type adds a function type and returns its index; the same type again has the same index.
func (m *Module) Type(params, results []byte) uint32 {
	item := slices.Concat([]byte{0x60}, U32(uint32(len(params))), params, U32(uint32(len(results))), results)
	for i, known := range m.types {
		if slices.Equal(known, item) {
			return uint32(i)
		}
	}
	m.types = append(m.types, item)
	return uint32(len(m.types) - 1)
}

// Import adds an imported function and returns its index. All imports come before the
// first function of the module's own.
func (m *Module) Import(module, name string, typeIndex uint32) uint32 {
	if len(m.functions) > 0 {
		panic(fmt.Sprintf("import %s.%s after a function", module, name))
	}
	m.imports = append(m.imports, slices.Concat(Name(module), Name(name), []byte{KindFunction}, U32(typeIndex)))
	m.imported++
	return m.imported - 1
}

// ImportMemory adds an imported memory of at least that many pages.
func (m *Module) ImportMemory(module, name string, pages uint32) {
	m.imports = append(m.imports, slices.Concat(Name(module), Name(name), []byte{KindMemory, 0}, U32(pages)))
}

// Memory gives the module a memory of at least that many pages, exported as "memory".
func (m *Module) Memory(pages uint32) {
	m.memory = append([]byte{0}, U32(pages)...)
	m.Export("memory", KindMemory, 0)
}

// Table gives the module a table of functions: of so many elements, none of them set but
// the first, which is this function.
func (m *Module) Table(elements, first uint32) {
	m.Section(4, Vector(append([]byte{0x70, 0}, U32(elements)...)))
	m.Section(9, Vector(slices.Concat([]byte{0}, I32Const(0), End, Vector(U32(first)))))
}

// Global adds a mutable i32 global and returns its index.
func (m *Module) Global(value int32) uint32 {
	m.globals = append(m.globals, slices.Concat([]byte{I32, 1}, I32Const(value), End))
	return uint32(len(m.globals) - 1)
}

// Next is the index of the function that is added next, for code that calls itself.
func (m *Module) Next() uint32 { return m.imported + uint32(len(m.functions)) }

// Func adds a function without locals and returns its index. The end is added to its code.
func (m *Module) Func(typeIndex uint32, code ...[]byte) uint32 {
	return m.FuncWithLocals(typeIndex, nil, code...)
}

// FuncWithLocals adds a function with locals of these types.
func (m *Module) FuncWithLocals(typeIndex uint32, locals []byte, code ...[]byte) uint32 {
	body := U32(uint32(len(locals)))
	for _, local := range locals {
		body = append(body, 1, local)
	}
	return m.FuncOfBody(typeIndex, append(append(body, slices.Concat(code...)...), End...))
}

// FuncOfBody adds a function whose groups of locals, code and end are given.
func (m *Module) FuncOfBody(typeIndex uint32, body []byte) uint32 {
	m.functions = append(m.functions, U32(typeIndex))
	m.codes = append(m.codes, append(U32(uint32(len(body))), body...))
	return m.imported + uint32(len(m.functions)-1)
}

// Export exports something under a name.
func (m *Module) Export(name string, kind byte, index uint32) {
	m.exports = append(m.exports, slices.Concat(Name(name), []byte{kind}, U32(index)))
}

// Data puts bytes at an address.
func (m *Module) Data(address int32, content []byte) {
	m.datas = append(m.datas, slices.Concat([]byte{0}, I32Const(address), End, U32(uint32(len(content))), content))
}

// Custom adds a custom section behind all others.
func (m *Module) Custom(name string, payload []byte) {
	m.customs = append(m.customs, append(Name(name), payload...))
}

// Section sets the body of a section as it is.
func (m *Module) Section(id byte, body []byte) { m.replaced[id] = body }

// Bytes is the binary.
func (m *Module) Bytes() []byte {
	sections := map[byte][]byte{}
	for id, items := range map[byte][][]byte{
		1: m.types, 2: m.imports, 3: m.functions, 6: m.globals, 7: m.exports, 10: m.codes, 11: m.datas,
	} {
		if len(items) > 0 {
			sections[id] = Vector(items...)
		}
	}
	if m.memory != nil {
		sections[5] = append([]byte{1}, m.memory...)
	}
	maps.Copy(sections, m.replaced)
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range []byte{1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11} {
		if body, present := sections[id]; present {
			out = append(out, Section(id, body)...)
		}
	}
	for _, custom := range m.customs {
		out = append(out, Section(0, custom)...)
	}
	return out
}

// Section is a section in its binary form.
func Section(id byte, body []byte) []byte {
	return slices.Concat([]byte{id}, U32(uint32(len(body))), body)
}

// Vector is a list in its binary form.
func Vector(items ...[]byte) []byte {
	return append(U32(uint32(len(items))), slices.Concat(items...)...)
}

// Name is a name in its binary form.
func Name(name string) []byte { return append(U32(uint32(len(name))), name...) }

// U32 is an unsigned number in its binary form.
func U32(value uint32) []byte {
	var out []byte
	for value >= 0x80 {
		out = append(out, byte(value)|0x80)
		value >>= 7
	}
	return append(out, byte(value))
}

// S64 is a signed number in its binary form.
func S64(value int64) []byte {
	var out []byte
	for {
		b := byte(value & 0x7f)
		value >>= 7
		if value == 0 && b&0x40 == 0 || value == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
