package wasm

// Bits of the flags that begin an element segment. For a segment that is not active the
// second bit says declarative instead of a table index.
const (
	elementNotActive   = 1
	elementTableIndex  = 2
	elementExpressions = 4
)

// rewriteElements shifts the functions that element segments of all eight forms name.
func (w *rewriter) rewriteElements(r *reader) {
	var segments vector
	for range r.count("element segments") {
		item := w.copyElement(r)
		if r.err != nil {
			return
		}
		segments.add(item...)
	}
	w.sections[sectionElement] = segments.bytes()
}

func (w *rewriter) copyElement(r *reader) []byte {
	start := r.pos
	flags := r.u32()
	if flags > 7 {
		r.failAt(start, "element segment of form %d is not known", flags)
		return nil
	}
	item := appendU32(nil, flags)
	if flags&elementNotActive == 0 {
		if flags&elementTableIndex != 0 {
			item = appendU32(item, r.u32())
		}
		item = w.copyConstant(item, r)
	}
	if flags&(elementNotActive|elementTableIndex) != 0 {
		item = copyElementType(item, r, flags)
	}
	n := r.count("elements")
	item = appendU32(item, n)
	for range n {
		if flags&elementExpressions != 0 {
			item = w.copyConstant(item, r)
		} else {
			item = appendU32(item, w.function(r.u32()))
		}
		if r.err != nil {
			return nil
		}
	}
	return item
}

func copyElementType(to []byte, r *reader, flags uint32) []byte {
	if flags&elementExpressions != 0 {
		return copyReferenceType(to, r)
	}
	start := r.pos
	if kind := r.byte(); kind != 0 {
		r.failAt(start, "element kind %#x is not known", kind)
	}
	return append(to, 0)
}

// rewriteData copies the data segments, which hold nothing to change, in shortest form.
func (w *rewriter) rewriteData(r *reader) {
	var segments vector
	for range r.count("data segments") {
		start := r.pos
		flags := r.u32()
		item := appendU32(nil, flags)
		switch flags {
		case 0:
			item = w.copyConstant(item, r)
		case 1: // passive
		case 2:
			if r.u32() != 0 {
				r.failAt(start, "more than one memory is not supported")
			}
			item = w.copyConstant(append(item, 0), r)
		default:
			r.failAt(start, "data segment of form %d is not known", flags)
		}
		payload := r.take(r.u32())
		if r.err != nil {
			return
		}
		segments.add(item...)
		segments.items = append(appendU32(segments.items, uint32(len(payload))), payload...)
	}
	w.sections[sectionData] = segments.bytes()
}

// copyConstant copies a constant expression with its end and shifts the functions in it.
func (w *rewriter) copyConstant(to []byte, r *reader) []byte {
	for r.err == nil {
		start := r.pos
		op := r.byte()
		to = append(to, op)
		switch op {
		case opEnd:
			return to
		case opI32Const:
			to = appendSigned(to, r.s32())
		case opI64Const:
			to = appendSigned(to, r.s64())
		case opF32Const:
			to = append(to, r.take(4)...)
		case opF64Const:
			to = append(to, r.take(8)...)
		case opGlobalGet:
			to = appendU32(to, r.u32())
		case opRefNull:
			to = copyHeapType(to, r)
		case opRefFunc:
			to = appendU32(to, w.function(r.u32()))
		case opI32Add, opI32Sub, opI32Mul, opI64Add, opI64Sub, opI64Mul:
		case prefixVector:
			if r.u32() != vectorConst {
				r.failAt(start, "vector instruction in a constant expression is not v128.const")
			}
			to = append(append(to, vectorConst), r.take(16)...)
		default:
			r.failAt(start, "opcode %#x in a constant expression is not supported", op)
		}
	}
	return to
}
