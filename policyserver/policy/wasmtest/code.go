package wasmtest

import "slices"

// Instructions without immediates.
var (
	Unreachable = []byte{0x00}
	Else        = []byte{0x05}
	End         = []byte{0x0b}
	Return      = []byte{0x0f}
	Drop        = []byte{0x1a}
	MemorySize  = []byte{0x3f, 0x00}
	MemoryGrow  = []byte{0x40, 0x00}
	I32Eq       = []byte{0x46}
	I32Ne       = []byte{0x47}
	I32LtU      = []byte{0x49}
	I32Add      = []byte{0x6a}
	I32Sub      = []byte{0x6b}
	I32Mul      = []byte{0x6c}
	I32DivU     = []byte{0x6e}
	I32And      = []byte{0x71}
	I32Xor      = []byte{0x73}
	I32Rotl     = []byte{0x77}
	I32Load     = []byte{0x28, 0x02, 0x00}
	I32Load8    = []byte{0x2d, 0x00, 0x00}
	I32Store    = []byte{0x36, 0x02, 0x00}
	I32Store8   = []byte{0x3a, 0x00, 0x00}
	MemoryCopy  = []byte{0xfc, 0x0a, 0x00, 0x00}
	MemoryFill  = []byte{0xfc, 0x0b, 0x00}
	RefNullFunc = []byte{0xd0, 0x70}
	TableGrow   = []byte{0xfc, 0x0f, 0x00}
	TableFill   = []byte{0xfc, 0x11, 0x00}
)

// I32Const pushes a number.
func I32Const(value int32) []byte { return append([]byte{0x41}, S64(int64(value))...) }

// I64Const pushes a number.
func I64Const(value int64) []byte { return append([]byte{0x42}, S64(value)...) }

// Call calls a function.
func Call(function uint32) []byte { return append([]byte{0x10}, U32(function)...) }

// CallIndirect calls the function of that type in the table, by the index on top of the stack.
func CallIndirect(typeIndex uint32) []byte { return append(append([]byte{0x11}, U32(typeIndex)...), 0) }

// ReturnCall calls a function in place of the current one.
func ReturnCall(function uint32) []byte { return append([]byte{0x12}, U32(function)...) }

// LocalGet pushes a local.
func LocalGet(local uint32) []byte { return append([]byte{0x20}, U32(local)...) }

// LocalSet sets a local.
func LocalSet(local uint32) []byte { return append([]byte{0x21}, U32(local)...) }

// GlobalGet pushes a global.
func GlobalGet(global uint32) []byte { return append([]byte{0x23}, U32(global)...) }

// GlobalSet sets a global.
func GlobalSet(global uint32) []byte { return append([]byte{0x24}, U32(global)...) }

// Br branches to the block that many levels up.
func Br(depth uint32) []byte { return append([]byte{0x0c}, U32(depth)...) }

// BrIf branches when the top of the stack is not zero.
func BrIf(depth uint32) []byte { return append([]byte{0x0d}, U32(depth)...) }

// Block is a block without parameters and results.
func Block(code ...[]byte) []byte { return enclosed(0x02, 0x40, code) }

// Loop is a loop without parameters and results; it runs once unless something branches.
func Loop(code ...[]byte) []byte { return enclosed(0x03, 0x40, code) }

// If runs code when the top of the stack is not zero.
func If(code ...[]byte) []byte { return enclosed(0x04, 0x40, code) }

// IfI32 is an if with a result; the code holds an Else.
func IfI32(code ...[]byte) []byte { return enclosed(0x04, I32, code) }

func enclosed(op, blockType byte, code [][]byte) []byte {
	return slices.Concat([]byte{op, blockType}, slices.Concat(code...), End)
}
