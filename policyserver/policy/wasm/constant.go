package wasm

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
