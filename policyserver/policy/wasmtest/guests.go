package wasmtest

// Accepting accepts every request and all settings.
func Accepting() []byte { return NewGuest().Bytes() }

// Answering answers every request with that text and accepts all settings.
func Answering(response string) []byte {
	g := NewGuest()
	return g.OnValidate(g.Respond(response)).Bytes()
}

// RefusingSettings finds all settings invalid, with that answer.
func RefusingSettings(response string) []byte {
	g := NewGuest()
	return g.OnValidateSettings(g.Respond(response)).Bytes()
}

// Failing reports an error for every request.
func Failing(message string) []byte {
	g := NewGuest()
	return g.OnValidate(g.Fail(message)).Bytes()
}

// Trapping traps on every request.
func Trapping() []byte { return NewGuest().OnValidate(Unreachable, I32Const(1)).Bytes() }

// Looping never ends, in the tightest loop there is.
func Looping() []byte { return NewGuest().OnValidate(Loop(Br(0)), I32Const(1)).Bytes() }

// LoopingInSettings never ends when asked about its settings.
func LoopingInSettings() []byte {
	return NewGuest().OnValidateSettings(Loop(Br(0)), I32Const(1)).Bytes()
}

// Recursing calls a function that calls itself twice, to a depth that the stack bears and
// an end that never comes.
func Recursing() []byte {
	g := NewGuest()
	i32 := []byte{I32}
	self := guestImports
	g.Func(g.Type(i32, nil), LocalGet(0), If(
		LocalGet(0), I32Const(1), I32Sub, Call(self),
		LocalGet(0), I32Const(1), I32Sub, Call(self),
	))
	return g.OnValidate(I32Const(60), Call(self), I32Const(1)).Bytes()
}

// TailCalling calls itself in place for ever: no loop and no deep stack.
func TailCalling() []byte {
	g := NewGuest()
	self := guestImports
	g.Func(g.Type(nil, nil), ReturnCall(self))
	return g.OnValidate(Call(self), I32Const(1)).Bytes()
}

// FillingMemory grows its memory to that many pages and fills it for ever.
func FillingMemory(pages uint32) []byte {
	return NewGuest().OnValidate(
		I32Const(int32(pages-1)), MemoryGrow, Drop,
		Loop(I32Const(0), I32Const(7), MemorySize, I32Const(65536), I32Mul, MemoryFill, Br(0)),
		I32Const(1),
	).Bytes()
}

// CopyingMemory copies a memory of that many pages onto itself, one byte further, for ever.
func CopyingMemory(pages uint32) []byte {
	return NewGuest().OnValidate(
		I32Const(int32(pages-1)), MemoryGrow, Drop,
		Loop(I32Const(1), I32Const(0), MemorySize, I32Const(65536), I32Mul, I32Const(1), I32Sub, MemoryCopy, Br(0)),
		I32Const(1),
	).Bytes()
}

// CallingHost calls a capability of the host for ever.
func CallingHost(namespace, operation, payload string) []byte {
	g := NewGuest()
	return g.OnValidate(Loop(g.CallHost(namespace, operation, payload), Drop, Br(0)), I32Const(1)).Bytes()
}

// GrowingMemory grows its memory page by page until it is refused, then accepts.
func GrowingMemory() []byte {
	g := NewGuest()
	return g.OnValidate(
		Loop(I32Const(1), MemoryGrow, I32Const(-1), I32Ne, BrIf(0)),
		g.Respond(`{"accepted":true}`),
	).Bytes()
}
