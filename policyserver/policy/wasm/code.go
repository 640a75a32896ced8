package wasm

// Weights of instructions, in the time of a plain one.
const (
	weightPlain = 1
	// weightExit is that of an instruction for which compiled code leaves to the host.
	weightExit = 64
)

// rewriteCode gives every function body its fuel and shifts the functions it names.
func (w *rewriter) rewriteCode(r *reader) {
	start := r.pos
	n := r.count("function bodies")
	if n != w.localFunctions {
		r.failAt(start, "%d functions are declared, %d have a body", w.localFunctions, n)
		return
	}
	w.code = newVectorBehind(w.sizeBefore(), len(r.data)*9/8+w.sizeBehind())
	body := body{rewriter: w}
	for i := range n {
		start := r.pos
		size := r.u32()
		if size > maxFunctionBytes {
			r.failAt(start, "function body of %d bytes, at most %d are allowed", size, maxFunctionBytes)
			return
		}
		body.in = r.sub(size)
		body.rewrite(w.paramsOf(w.importedFunctions + i))
		if r.err = body.in.err; r.err != nil {
			return
		}
		item := body.withFuel()
		w.code.n++
		w.code.items = append(appendU32(w.code.items, uint32(len(item))), item...)
	}
}

// body is one function body while it is rewritten. Its buffers are used again for the next.
type body struct {
	rewriter *rewriter
	in       *reader
	out      []byte   // locals and instructions, still without fuel
	groups   uint32   // of locals, with which out begins
	locals   locals   // parameters among them
	charges  []charge // in order of place
	open     []int    // open blocks: the charge that their instructions add to
	blocks   int      // blocks and ifs
	targets  int      // of br_table
	item     []byte
}

// rewrite reads the body of a function with parameters of those types.
func (b *body) rewrite(params []byte) {
	b.out, b.charges, b.open, b.blocks, b.targets = b.out[:0], b.charges[:0], b.open[:0], 0, 0
	b.locals.begin(params)
	locals := b.copyLocals()
	entry := b.begin(charge{place: len(b.out), weight: locals})
	for parameter := range params {
		entry.read = append(entry.read, uint32(parameter))
	}
	entry.written = append(entry.written, entry.read...)
	b.open = append(b.open, 0)
	for len(b.open) > 0 && b.in.err == nil {
		b.copyPlain()
		b.copyInstruction()
	}
	b.in.end("a function body")
	if b.in.err == nil {
		b.rewriter.account(b.in, shape{blocks: b.blocks, loops: len(b.charges) - 1, locals: locals, targets: b.targets})
	}
}

func (b *body) copyLocals() int {
	start := b.in.pos
	total := uint64(0)
	b.groups = b.in.count("groups of locals")
	for range b.groups {
		n := b.in.u32()
		if total += uint64(n); total > maxLocals {
			break
		}
		b.locals.add(b.in.peek(), n)
		b.out = copyValueType(appendU32(b.out, n), b.in)
	}
	b.locals.known()
	if total > maxLocals {
		b.in.failAt(start, "%d locals, at most %d are allowed", total, maxLocals)
		return 0
	}
	return int(total)
}

func (b *body) copyInstruction() {
	r := b.in
	start := r.pos
	op := r.byte()
	if r.err != nil {
		return
	}
	b.charges[b.open[len(b.open)-1]].weight += weightPlain
	kind := immediates[op]
	if kind == prefix {
		b.copyPrefixed(op, start)
		return
	}
	if op == opMemoryGrow {
		b.out = b.rewriter.appendRefuel(b.out)
	}
	b.out = append(b.out, op)
	b.copyImmediate(kind, op, start)
	b.note(op)
}

// note keeps account of blocks and of what an instruction means beyond its copy.
func (b *body) note(op byte) {
	switch op {
	case opBlock, opIf:
		b.blocks++
		b.open = append(b.open, b.open[len(b.open)-1])
	case opLoop:
		b.begin(charge{place: len(b.out), around: b.open[len(b.open)-1], plain: b.out[len(b.out)-1] < typeEmpty})
		b.open = append(b.open, len(b.charges)-1)
	case opEnd:
		b.open = b.open[:len(b.open)-1]
	case opRefFunc:
		b.charges[b.open[len(b.open)-1]].weight += weightExit
	case opTableSet:
		b.rewriter.cannotRestore("table.set")
	}
}

func (b *body) copyImmediate(kind immediate, op byte, start int) {
	r := b.in
	switch kind {
	case none, blockEnd:
	case index, tableIndex:
		b.out = appendU32(b.out, r.u32())
	case local:
		index := r.u32()
		b.use(op, index, len(b.out)-1)
		b.out = appendU32(b.out, index)
	case indexPair:
		b.out = appendU32(b.out, r.u32())
		b.out = appendU32(b.out, r.u32())
	case function:
		b.out = appendU32(b.out, b.rewriter.function(r.u32()))
	case blockType:
		b.out = copyBlockType(b.out, r)
	case access:
		b.copyAccess(start)
	case memory:
		if r.byte() != 0 {
			r.failAt(start, "more than one memory is not supported")
		}
		b.out = append(b.out, 0)
	case constI32:
		b.out = appendSigned(b.out, r.s32())
	case constI64:
		b.out = appendSigned(b.out, r.s64())
	case constF32:
		b.out = append(b.out, r.take(4)...)
	case constF64:
		b.out = append(b.out, r.take(8)...)
	case heapType:
		b.out = copyHeapType(b.out, r)
	case labels:
		b.targets += int(b.copyList(appendLabel))
		b.out = appendU32(b.out, r.u32())
	case valueTypes:
		b.copyList(copyValueType)
	default:
		r.failAt(start, "%s", unsupported(op))
	}
}

func appendLabel(to []byte, r *reader) []byte { return appendU32(to, r.u32()) }

func (b *body) copyList(copyItem func([]byte, *reader) []byte) (n uint32) {
	n = b.in.count("items")
	b.out = appendU32(b.out, n)
	for range n {
		b.out = copyItem(b.out, b.in)
	}
	return n
}

// mostAlignment is above the alignments of memory accesses, which are exponents of 2.
const mostAlignment = 32

func (b *body) copyAccess(start int) {
	alignment := b.in.u32()
	if alignment >= mostAlignment { // bit 6 would say that the index of a memory follows
		b.in.failAt(start, "alignment 2^%d of a memory access is not supported", alignment)
	}
	b.out = appendU32(appendU32(b.out, alignment), b.in.u32())
}

// copyPrefixed copies an instruction whose opcode goes on after a prefix.
func (b *body) copyPrefixed(prefix byte, start int) {
	op := b.in.u32()
	if prefix == prefixBulk {
		b.copyBulk(op, start)
		return
	}
	b.out = appendU32(append(b.out, prefix), op)
	switch {
	case op <= 0x0b || op == 0x5c || op == 0x5d: // loads and stores
		b.copyAccess(start)
	case op == vectorConst || op == 0x0d: // 16 bytes of a constant or a shuffle
		b.out = append(b.out, b.in.take(16)...)
	case op >= 0x15 && op <= 0x22: // a lane
		b.out = append(b.out, b.in.byte())
	case op >= 0x54 && op <= 0x5b: // memory access and lane
		b.copyAccess(start)
		b.out = append(b.out, b.in.byte())
	case op <= 0xff: // no immediate; that the opcode exists is for the compiler to check
	default:
		b.in.failAt(start, "opcode 0xfd %#x is not supported", op)
	}
}

// copyBulk copies a saturating conversion or a bulk operation. An operation whose length
// the guest chooses is charged by it.
func (b *body) copyBulk(op uint32, start int) {
	w := b.rewriter
	switch op {
	case bulkMemoryCopy:
		b.skipMemory(start)
		b.skipMemory(start)
		b.call(helperCopy)
		return
	case bulkMemoryFill:
		b.skipMemory(start)
		b.call(helperFill)
		return
	case bulkMemoryInit:
		b.call(helperChargeBytes)
	case bulkTableInit, bulkTableCopy, bulkTableFill:
		b.call(helperChargeElements)
	case bulkTableGrow:
		b.call(helperChargeElements)
		b.out = w.appendRefuel(b.out)
	}
	b.out = appendU32(append(b.out, prefixBulk), op)
	switch op {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating conversions
	case bulkMemoryInit:
		b.out = appendU32(b.out, b.in.u32())
		b.skipMemory(start)
		b.out = append(b.out, 0)
	case bulkTableSize:
		b.out = appendU32(b.out, b.in.u32())
	case bulkDataDrop, bulkElemDrop, bulkTableGrow, bulkTableFill:
		b.out = appendU32(b.out, b.in.u32())
		w.cannotRestore(bulkNames[op])
	case bulkTableInit, bulkTableCopy:
		b.out = appendU32(b.out, b.in.u32())
		b.out = appendU32(b.out, b.in.u32())
		w.cannotRestore(bulkNames[op])
	default:
		b.in.failAt(start, "opcode 0xfc %#x is not supported", op)
	}
}

var bulkNames = map[uint32]string{
	bulkDataDrop:  "data.drop",
	bulkElemDrop:  "elem.drop",
	bulkTableInit: "table.init",
	bulkTableCopy: "table.copy",
	bulkTableGrow: "table.grow",
	bulkTableFill: "table.fill",
}

func (b *body) skipMemory(start int) {
	if b.in.byte() != 0 {
		b.in.failAt(start, "more than one memory is not supported")
	}
}

func (b *body) call(kind helper) {
	b.out = appendU32(append(b.out, opCall), b.rewriter.helper(kind))
}
