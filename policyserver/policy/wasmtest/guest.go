package wasmtest

import "slices"

// The functions that every Guest imports, in the order of their indices.
const (
	GuestRequest uint32 = iota
	GuestResponse
	GuestError
	HostCall
	HostResponseLen
	HostResponse
	HostErrorLen
	HostError
	ConsoleLog
	guestImports
)

// DefaultMetadata is what a Guest says of itself unless told otherwise.
const DefaultMetadata = `{"protocolVersion":"v1","mutating":false,"executionMode":"kubewarden-wapc",` +
	`"rules":[{"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"],"operations":["CREATE"]}]}`

// Addresses in a guest's memory, which is one page.
const (
	addressOperation = 0
	addressTexts     = 4096
	// AddressPayload is where Request puts the payload; it may overwrite texts after it.
	AddressPayload = 32768
)

// Guest builds a waPC guest out of a few instructions. The code of an operation leaves an
// i32 on the stack, 1 for success; local 0 is the length of the operation's name, local 1
// that of the payload.
type Guest struct {
	*Module
	// Metadata is the JSON of the metadata section; "" leaves the section out.
	Metadata string

	validate []byte
	settings []byte
	texts    int32
}

// NewGuest is a guest that accepts every request and all settings.
func NewGuest() *Guest {
	g := &Guest{Module: New(), Metadata: DefaultMetadata, texts: addressTexts}
	none := []byte{}
	for _, function := range []struct {
		name    string
		params  int
		results int
	}{
		{"__guest_request", 2, 0},
		{"__guest_response", 2, 0},
		{"__guest_error", 2, 0},
		{"__host_call", 8, 1},
		{"__host_response_len", 0, 1},
		{"__host_response", 1, 0},
		{"__host_error_len", 0, 1},
		{"__host_error", 1, 0},
		{"__console_log", 2, 0},
	} {
		results := none
		if function.results > 0 {
			results = i32(1)
		}
		g.Import("wapc", function.name, g.Type(i32(function.params), results))
	}
	g.Memory(1)
	g.validate = g.Respond(`{"accepted":true}`)
	g.settings = g.Respond(`{"valid":true}`)
	return g
}

// OnValidate sets the code for "validate".
func (g *Guest) OnValidate(code ...[]byte) *Guest {
	g.validate = slices.Concat(code...)
	return g
}

// OnValidateSettings sets the code for "validate_settings".
func (g *Guest) OnValidateSettings(code ...[]byte) *Guest {
	g.settings = slices.Concat(code...)
	return g
}

// Text puts a text into memory and returns the code that pushes its address and length.
func (g *Guest) Text(text string) []byte {
	address := g.texts
	g.Data(address, []byte(text))
	g.texts += int32(len(text))
	return append(I32Const(address), I32Const(int32(len(text)))...)
}

// Respond is code that answers with a text.
func (g *Guest) Respond(text string) []byte {
	return slices.Concat(g.Text(text), Call(GuestResponse), I32Const(1))
}

// Fail is code that fails with a text.
func (g *Guest) Fail(text string) []byte {
	return slices.Concat(g.Text(text), Call(GuestError), I32Const(0))
}

// Request is code that fetches the payload to AddressPayload.
func (g *Guest) Request() []byte {
	return slices.Concat(I32Const(addressOperation), I32Const(AddressPayload), Call(GuestRequest))
}

// Echo is code that answers with the payload.
func (g *Guest) Echo() []byte {
	return slices.Concat(g.Request(), I32Const(AddressPayload), LocalGet(1), Call(GuestResponse), I32Const(1))
}

// CallHost is code that calls a host capability and leaves 1 or 0 on the stack.
func (g *Guest) CallHost(namespace, operation, payload string) []byte {
	return slices.Concat(g.Text("kubewarden"), g.Text(namespace), g.Text(operation), g.Text(payload), Call(HostCall))
}

// RespondHost is code that answers with the host's response, whatever it is.
func (g *Guest) RespondHost() []byte {
	return slices.Concat(I32Const(AddressPayload), Call(HostResponse),
		I32Const(AddressPayload), Call(HostResponseLen), Call(GuestResponse), I32Const(1))
}

// FailHost is code that fails with the host's error.
func (g *Guest) FailHost() []byte {
	return slices.Concat(I32Const(AddressPayload), Call(HostError),
		I32Const(AddressPayload), Call(HostErrorLen), Call(GuestError), I32Const(0))
}

// OnInit adds an exported function without parameters: "_initialize", "_start", "wapc_init".
func (g *Guest) OnInit(name string, code ...[]byte) *Guest {
	g.Export(name, KindFunction, g.Func(g.Type(nil, nil), code...))
	return g
}

// Bytes is the binary.
func (g *Guest) Bytes() []byte {
	const lengthOfValidate = 8 // "validate"; "validate_settings" is longer
	call := g.Func(g.Type([]byte{I32, I32}, []byte{I32}),
		LocalGet(0), I32Const(lengthOfValidate), I32Eq,
		IfI32(g.validate, Else, g.settings))
	g.Export("__guest_call", KindFunction, call)
	if g.Metadata != "" {
		g.Custom("io.kubewarden.metadata", []byte(g.Metadata))
	}
	return g.Module.Bytes()
}
