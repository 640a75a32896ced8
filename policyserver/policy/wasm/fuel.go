package wasm

// Prices. A unit of fuel is the time of unitInstructions plain instructions or of
// unitBytes bytes of a bulk operation.
const (
	unitInstructions = 32
	unitBytesShift   = 7 // 128 bytes
	unitElementShift = 4 // 16 table elements of 8 bytes
	// chunk is how much of a copy or a fill runs without a look at the deadline.
	chunk = 1 << 20
)

// appendTake subtracts what is on top of the stack from the fuel below it, and asks for
// more when there is none left.
func (w *rewriter) appendTake(to []byte) []byte {
	to = append(w.appendSubtract(to), opI32LtS, opIf, typeEmpty)
	return append(w.appendRefuel(to), opEnd)
}

// appendSubtract subtracts what is on top of the stack from the fuel below it, and leaves
// what is left and a 0 there.
func (w *rewriter) appendSubtract(to []byte) []byte {
	to = appendU32(append(to, opI32Sub, opGlobalSet), w.fuel())
	return append(appendU32(append(to, opGlobalGet), w.fuel()), opI32Const, 0)
}

// appendRefuel asks the host for fuel, whatever is left. It stands before instructions
// for which the host works an unknown time.
func (w *rewriter) appendRefuel(to []byte) []byte {
	to = appendU32(append(to, opCall), w.tick())
	return appendU32(append(to, opGlobalSet), w.fuel())
}

// helper is a function that the rewriter adds to a module where it is needed.
type helper int

const (
	// helperCopy and helperFill replace memory.copy and memory.fill: they charge by
	// length and look at the deadline after each chunk.
	helperCopy helper = iota
	helperFill
	// helperChargeBytes and helperChargeElements charge by the length on top of the
	// stack and leave it there.
	helperChargeBytes
	helperChargeElements
	// helperRead and helperStart are a command's, see RewriteCommand.
	helperRead
	helperStart

	helperKinds = iota
)

// helper is the index of a helper function, which is added when it is first asked for.
func (w *rewriter) helper(kind helper) uint32 {
	if w.helpers[kind] == 0 {
		used := uint32(0)
		for _, index := range w.helpers {
			if index != 0 {
				used++
			}
		}
		w.helpers[kind] = w.firstHelper() + used
	}
	return w.helpers[kind]
}

// firstHelper is after all other functions: the imported ones, those of the host that are
// added, the local ones.
func (w *rewriter) firstHelper() uint32 { return w.importedFunctions + w.added() + w.localFunctions }

// appendHelpers writes the helpers that are used, in order of their indices.
func (w *rewriter) appendHelpers() {
	for next := w.firstHelper(); ; next++ {
		added := false
		for kind, index := range w.helpers {
			if index == next {
				w.appendHelper(helper(kind))
				added = true
			}
		}
		if !added {
			return
		}
	}
}

func (w *rewriter) appendHelper(kind helper) {
	var signature uint32
	var body []byte
	switch kind {
	case helperCopy:
		signature, body = w.addType(3, 0), w.copyBody()
	case helperFill:
		signature, body = w.addType(3, 0), w.fillBody()
	case helperChargeBytes:
		signature, body = w.addType(1, 1), w.chargeBody(unitBytesShift)
	case helperChargeElements:
		signature, body = w.addType(1, 1), w.chargeBody(unitElementShift)
	case helperRead:
		signature, body = w.addType(4, 1), w.readBody()
	case helperStart:
		signature, body = w.addType(0, 0), w.startBody()
	}
	w.functions.add(appendU32(nil, signature)...)
	w.code.add(append(appendU32(nil, uint32(len(body))), body...)...)
}

// Locals of the helpers: parameters of memory.copy and memory.fill in their order.
const (
	localTarget = 0
	localSource = 1 // of a copy; the value of a fill
	localLength = 2
)

var (
	instructionCopy = []byte{prefixBulk, bulkMemoryCopy, 0, 0}
	instructionFill = []byte{prefixBulk, bulkMemoryFill, 0}
)

// chargeBody charges for the length it is given and returns it.
func (w *rewriter) chargeBody(shift int64) []byte {
	body := []byte{0} // no locals
	body = w.appendChargeLength(body, 0, shift)
	return append(body, opLocalGet, 0, opEnd)
}

func (w *rewriter) appendChargeLength(to []byte, local byte, shift int64) []byte {
	to = appendU32(append(to, opGlobalGet), w.fuel())
	to = append(to, opLocalGet, local, opI32Const)
	to = append(appendSigned(to, shift), opI32ShrU, opI32Const, 1, opI32Add)
	return w.appendTake(to)
}

// copyBody copies at once what is short or would trap, and the rest chunk by chunk: from
// the front, or from the back when the target lies above the source and may overlap it.
func (w *rewriter) copyBody() []byte {
	body := []byte{0} // no locals
	body = w.appendShort(body, instructionCopy)
	body = append(body, opLocalGet, localTarget)
	body = append(appendBeyondMemory(body), opLocalGet, localSource)
	body = append(appendBeyondMemory(body), opI32Or)
	body = appendAtOnce(body, instructionCopy)
	body = append(body, opLocalGet, localTarget, opLocalGet, localSource, opI32LeU, opIf, typeEmpty)
	body = w.appendForward(body, instructionCopy, []byte{localTarget, localSource})
	body = append(body, opElse)
	body = append(body, opLoop, typeEmpty)
	body = appendMove(body, localLength, opI32Sub)
	body = append(body, opLocalGet, localTarget, opLocalGet, localLength, opI32Add)
	body = append(body, opLocalGet, localSource, opLocalGet, localLength, opI32Add)
	body = append(appendSigned(append(body, opI32Const), chunk), instructionCopy...)
	body = w.appendChunkEnd(body)
	body = append(body, opEnd)
	return append(appendOperation(body, instructionCopy), opEnd)
}

// fillBody fills at once what is short or would trap, and the rest chunk by chunk.
func (w *rewriter) fillBody() []byte {
	body := []byte{0} // no locals
	body = w.appendShort(body, instructionFill)
	body = append(body, opLocalGet, localTarget)
	body = appendAtOnce(appendBeyondMemory(body), instructionFill)
	body = w.appendForward(body, instructionFill, []byte{localTarget})
	return append(appendOperation(body, instructionFill), opEnd)
}

// appendOperation is the original instruction on the helper's parameters.
func appendOperation(to, instruction []byte) []byte {
	to = append(to, opLocalGet, localTarget, opLocalGet, localSource, opLocalGet, localLength)
	return append(to, instruction...)
}

// appendAtOnce runs the original instruction and returns when the top of the stack says so.
func appendAtOnce(to, instruction []byte) []byte {
	to = appendOperation(append(to, opIf, typeEmpty), instruction)
	return append(to, opReturn, opEnd)
}

// appendShort does what is at most a chunk at once, charged by its length.
func (w *rewriter) appendShort(to, instruction []byte) []byte {
	to = append(to, opLocalGet, localLength, opI32Const)
	to = append(appendSigned(to, chunk), opI32LeU, opIf, typeEmpty)
	to = w.appendChargeLength(to, localLength, unitBytesShift)
	to = appendOperation(to, instruction)
	return append(to, opReturn, opEnd)
}

// appendBeyondMemory says whether the address on top of the stack plus the length lies
// beyond the memory, in 64 bits. The original instruction traps then, before it writes.
func appendBeyondMemory(to []byte) []byte {
	to = append(to, opI64ExtendU, opLocalGet, localLength, opI64ExtendU, opI64Add)
	return append(to, opMemorySize, 0, opI64ExtendU, opI64Const, 16, opI64Shl, opI64GtU)
}

// appendForward does chunks from the front until at most a chunk is left.
func (w *rewriter) appendForward(to, instruction, addresses []byte) []byte {
	to = append(to, opLoop, typeEmpty, opLocalGet, localTarget, opLocalGet, localSource)
	to = append(appendSigned(append(to, opI32Const), chunk), instruction...)
	for _, local := range addresses {
		to = appendMove(to, local, opI32Add)
	}
	to = appendMove(to, localLength, opI32Sub)
	return w.appendChunkEnd(to)
}

// appendMove moves a local by a chunk.
func appendMove(to []byte, local, operation byte) []byte {
	to = appendSigned(append(to, opLocalGet, local, opI32Const), chunk)
	return append(to, operation, opLocalSet, local)
}

// appendChunkEnd charges for a chunk and goes back to the loop's header while more than a
// chunk is left.
func (w *rewriter) appendChunkEnd(to []byte) []byte {
	to = appendU32(append(to, opGlobalGet), w.fuel())
	to = appendSigned(append(to, opI32Const), chunk>>unitBytesShift)
	to = w.appendTake(to)
	to = appendSigned(append(to, opLocalGet, localLength, opI32Const), chunk)
	return append(to, opI32GtU, opBrIf, 0, opEnd)
}
