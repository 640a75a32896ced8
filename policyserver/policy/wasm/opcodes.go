package wasm

import "fmt"

// Opcodes that the rewriter treats by name.
const (
	opBlock      = 0x02
	opLoop       = 0x03
	opIf         = 0x04
	opElse       = 0x05
	opEnd        = 0x0b
	opBr         = 0x0c
	opBrIf       = 0x0d
	opReturn     = 0x0f
	opCall       = 0x10
	opDrop       = 0x1a
	opLocalGet   = 0x20
	opLocalSet   = 0x21
	opGlobalGet  = 0x23
	opGlobalSet  = 0x24
	opTableSet   = 0x26
	opMemorySize = 0x3f
	opMemoryGrow = 0x40
	opI32Const   = 0x41
	opI64Const   = 0x42
	opF32Const   = 0x43
	opF64Const   = 0x44
	opI32Eqz     = 0x45
	opI32LtS     = 0x48
	opI32GtU     = 0x4b
	opI32LeU     = 0x4d
	opI32GeS     = 0x4e
	opI64GtU     = 0x56
	opI32Add     = 0x6a
	opI32Sub     = 0x6b
	opI32Mul     = 0x6c
	opI32Or      = 0x72
	opI32ShrU    = 0x76
	opI64Add     = 0x7c
	opI64Sub     = 0x7d
	opI64Mul     = 0x7e
	opI64Or      = 0x84
	opI64Shl     = 0x86
	opI64ExtendU = 0xad

	opI32ReinterpretF32 = 0xbc
	opI64ReinterpretF64 = 0xbd
	opF32ReinterpretI32 = 0xbe
	opF64ReinterpretI64 = 0xbf

	opRefNull    = 0xd0
	opRefFunc    = 0xd2
	prefixBulk   = 0xfc
	prefixVector = 0xfd
	prefixAtomic = 0xfe
	vectorConst  = 0x0c
)

// Instructions behind prefixBulk.
const (
	bulkMemoryInit = 8
	bulkDataDrop   = 9
	bulkMemoryCopy = 10
	bulkMemoryFill = 11
	bulkTableInit  = 12
	bulkElemDrop   = 13
	bulkTableCopy  = 14
	bulkTableGrow  = 15
	bulkTableSize  = 16
	bulkTableFill  = 17
)

// immediate is what follows an opcode.
type immediate byte

const (
	unknown    immediate = iota // the opcode is not supported
	none                        // nothing
	blockEnd                    // nothing
	index                       // one index: global, table, type, label
	tableIndex                  // index of a table that is written to
	local                       // index of a local
	indexPair                   // type and table
	function                    // index of a function, to be shifted
	blockType                   // type of a block
	labels                      // vector of labels and a default
	access                      // alignment and offset of a memory access
	memory                      // the byte 0, for the one memory
	constI32
	constI64
	constF32
	constF64
	heapType
	valueTypes
	prefix // another opcode
)

// immediates says what follows each one-byte opcode.
var immediates = func() (table [256]immediate) {
	spans := []struct {
		first, last byte
		immediate   immediate
	}{
		{0x00, 0x01, none},         // unreachable, nop
		{0x02, 0x04, blockType},    // block, loop, if
		{0x05, 0x05, none},         // else
		{0x0b, 0x0b, blockEnd},     // end
		{0x0c, 0x0d, index},        // br, br_if
		{0x0e, 0x0e, labels},       // br_table
		{0x0f, 0x0f, none},         // return
		{0x10, 0x10, function},     // call
		{0x11, 0x11, indexPair},    // call_indirect
		{0x12, 0x12, function},     // return_call
		{0x13, 0x13, indexPair},    // return_call_indirect
		{0x14, 0x15, index},        // call_ref, return_call_ref
		{0x1a, 0x1b, none},         // drop, select
		{0x1c, 0x1c, valueTypes},   // select with types
		{0x20, 0x22, local},        // local.get, local.set, local.tee
		{0x23, 0x25, index},        // globals, table.get
		{0x26, 0x26, tableIndex},   // table.set
		{0x28, 0x3e, access},       // loads and stores
		{0x3f, 0x40, memory},       // memory.size, memory.grow
		{0x41, 0x41, constI32},     //
		{0x42, 0x42, constI64},     //
		{0x43, 0x43, constF32},     //
		{0x44, 0x44, constF64},     //
		{0x45, 0xc4, none},         // numeric, sign extension
		{0xd0, 0xd0, heapType},     // ref.null
		{0xd1, 0xd1, none},         // ref.is_null
		{0xd2, 0xd2, function},     // ref.func
		{0xd4, 0xd4, none},         // ref.as_non_null
		{0xd5, 0xd6, index},        // br_on_null, br_on_non_null
		{prefixBulk, 0xfd, prefix}, // bulk and saturating, vector
	}
	for _, span := range spans {
		for op := int(span.first); op <= int(span.last); op++ {
			table[op] = span.immediate
		}
	}
	return table
}()

// unsupported says which opcode is not supported and, where there is one, the proposal
// that it belongs to.
func unsupported(op byte) string {
	proposal := ""
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		proposal = " (exception handling)"
	case prefixAtomic:
		proposal = " (threads)"
	case 0xfb:
		proposal = " (garbage collection)"
	}
	return fmt.Sprintf("opcode %#x%s is not supported", op, proposal)
}
