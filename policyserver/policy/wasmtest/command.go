package wasmtest

import (
	"encoding/binary"
	"slices"
)

// Addresses in a Command's memory, which is one page: a buffer to read into, and lists of
// buffers.
const (
	AddressBuffer = 16_384
	BufferSize    = 16_384
	AddressList   = 4_000
	AddressCount  = 4_100
)

// CommandMetadata is what a Command says of itself.
const CommandMetadata = `{"executionMode":"wasi","rules":[],"mutating":false}`

// Command builds a WASI command out of a few instructions.
type Command struct {
	*Module
	// Read, Write, Exit and HostCall are functions that every command imports.
	Read, Write, Exit, HostCall uint32

	sizes uint32
	texts int32
}

// NewCommand is a command without code.
func NewCommand() *Command {
	m := New()
	four := slices.Repeat([]byte{I32}, 4)
	c := &Command{Module: m, texts: 100}
	c.Read = m.Import("wasi_snapshot_preview1", "fd_read", m.Type(four, []byte{I32}))
	c.Write = m.Import("wasi_snapshot_preview1", "fd_write", m.Type(four, []byte{I32}))
	c.Exit = m.Import("wasi_snapshot_preview1", "proc_exit", m.Type([]byte{I32}, nil))
	c.sizes = m.Import("wasi_snapshot_preview1", "args_sizes_get", m.Type([]byte{I32, I32}, []byte{I32}))
	c.HostCall = m.Import("host", "call", m.Type(slices.Repeat([]byte{I32}, 8), []byte{I32}))
	m.Memory(1)
	return c
}

// Text puts a text into memory and returns the code that pushes its address and length.
func (c *Command) Text(text string) []byte {
	address := c.texts
	c.Data(address, []byte(text))
	c.texts += int32(len(text))
	return slices.Concat(I32Const(address), I32Const(int32(len(text))))
}

// Print is code that writes a text to a stream.
func (c *Command) Print(stream int32, text string) []byte {
	address := c.texts
	c.Text(text)
	list := binary.LittleEndian.AppendUint32(nil, uint32(address))
	list = binary.LittleEndian.AppendUint32(list, uint32(len(text)))
	at := c.texts
	c.Data(at, list)
	c.texts += int32(len(list))
	return slices.Concat(I32Const(stream), I32Const(at), I32Const(1), I32Const(AddressCount), Call(c.Write), Drop)
}

// Echo is code that reads once and writes what it has read to its standard output.
func (c *Command) Echo() []byte {
	list := binary.LittleEndian.AppendUint32(nil, AddressBuffer)
	c.Data(AddressList, binary.LittleEndian.AppendUint32(list, BufferSize))
	return slices.Concat(
		I32Const(0), I32Const(AddressList), I32Const(1), I32Const(AddressList+4), Call(c.Read), Drop,
		I32Const(1), I32Const(AddressList), I32Const(1), I32Const(AddressCount), Call(c.Write), Drop)
}

// CallHost is code that calls the host and leaves 0 or 1 on the stack.
func (c *Command) CallHost(namespace, operation, payload string) []byte {
	return slices.Concat(c.Text("kubewarden"), c.Text(namespace), c.Text(operation), c.Text(payload), Call(c.HostCall))
}

// Asked is code that does one thing when the command is asked about a request, and another
// when it is asked about settings.
func (c *Command) Asked(request, settings []byte) []byte {
	// The arguments with a zero after each; "validate-settings" has nine more.
	const bytesOfValidate = int32(len("policy.wasm") + len("validate") + 2)
	return slices.Concat(
		I32Const(AddressCount), I32Const(AddressCount+4), Call(c.sizes), Drop,
		I32Const(AddressCount+4), I32Load, I32Const(bytesOfValidate), I32Eq,
		If(request, Else, settings))
}

// Bytes is the binary of the command that runs that code.
func (c *Command) Bytes(code ...[]byte) []byte {
	c.Export("_start", KindFunction, c.Func(c.Type(nil, nil), code...))
	c.Custom("io.kubewarden.metadata", []byte(CommandMetadata))
	return c.Module.Bytes()
}
