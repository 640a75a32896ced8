package wasm

// Type bytes of the format.
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncRef   = 0x70
	typeExternRef = 0x6f
	typeRef       = 0x64 // (ref heaptype)
	typeRefNull   = 0x63 // (ref null heaptype)
	typeFunction  = 0x60
	typeRecursion = 0x4e
	typeEmpty     = 0x40 // block type without parameters and results
)

// rewriteTypes copies the function types and counts them; the helpers' types follow later.
func (w *rewriter) rewriteTypes(r *reader) {
	for range r.count("types") {
		if r.err != nil {
			return
		}
		if r.peek() != typeRecursion {
			item := w.copyFunctionType(nil, r)
			w.types.add(item...)
			w.plainTypes[w.typeCount] = string(item)
			w.typeCount++
			continue
		}
		r.byte()
		n := r.count("types of a recursion group")
		group := appendU32([]byte{typeRecursion}, n)
		for range n {
			group = w.copyFunctionType(group, r)
		}
		w.types.add(group...)
		w.typeCount += n
	}
	w.tickType = w.addType(0, 1)
}

// addType adds a function type over i32 and returns its index.
func (w *rewriter) addType(params, results int) uint32 {
	w.types.add(functionType(params, results)...)
	w.typeCount++
	return w.typeCount - 1
}

// functionType is a function type over i32.
func functionType(params, results int) []byte {
	item := []byte{typeFunction}
	for _, n := range []int{params, results} {
		item = append(item, byte(n))
		for range n {
			item = append(item, typeI32)
		}
	}
	return item
}

// copyFunctionType copies a type and keeps what its parameters are.
func (w *rewriter) copyFunctionType(to []byte, r *reader) []byte {
	start := r.pos
	if form := r.byte(); r.err == nil && form != typeFunction {
		r.failAt(start, "type form %#x is not supported: only functions are", form)
		return to
	}
	to = append(to, typeFunction)
	var params []byte
	for part, limit := range []uint32{maxParams, maxResults} {
		n := r.count("parameters or results")
		if n > limit {
			r.failAt(start, "%d parameters or results, at most %d are allowed", n, limit)
			return to
		}
		to = appendU32(to, n)
		for range n {
			if part == 0 {
				params = append(params, r.peek())
			}
			to = copyValueType(to, r)
		}
	}
	w.params = append(w.params, params)
	return to
}

// paramsOf is the first byte of the type of each parameter of a function of the original
// module. Of a type that is not there, there are none: the compiler will say so.
func (w *rewriter) paramsOf(function uint32) []byte {
	if index := w.functionTypes[function]; uint64(index) < uint64(len(w.params)) {
		return w.params[index]
	}
	return nil
}

func copyValueType(to []byte, r *reader) []byte {
	start := r.pos
	switch t := r.byte(); t {
	case typeI32, typeI64, typeF32, typeF64, typeV128, typeFuncRef, typeExternRef:
		return append(to, t)
	case typeRef, typeRefNull:
		return copyHeapType(append(to, t), r)
	default:
		r.failAt(start, "value type %#x is not supported", t)
		return to
	}
}

func copyReferenceType(to []byte, r *reader) []byte {
	switch t := r.peek(); t {
	case typeFuncRef, typeExternRef, typeRef, typeRefNull:
		return copyValueType(to, r)
	default:
		r.fail("reference type %#x is not supported", t)
		return to
	}
}

// copyHeapType copies an abstract heap type or the index of a type.
func copyHeapType(to []byte, r *reader) []byte {
	start := r.pos
	index := r.s33()
	if index < 0 && index != typeFuncRef-0x80 && index != typeExternRef-0x80 {
		r.failAt(start, "heap type %d is not supported", index)
	}
	return appendSigned(to, index)
}

// copyBlockType copies no type, one value type, or the index of a function type.
func copyBlockType(to []byte, r *reader) []byte {
	switch b := r.peek(); {
	case b == typeEmpty:
		return append(to, r.byte())
	case b >= typeEmpty && b < 0x80: // negative as a signed number: a value type
		return copyValueType(to, r)
	default:
		return appendSigned(to, r.s33())
	}
}

// limits are the bounds of a table or memory.
type limits struct {
	least  uint32
	most   uint32
	capped bool // most is given
}

func readLimits(r *reader, what string) limits {
	start := r.pos
	var bounds limits
	switch flags := r.byte(); flags {
	case 0:
		bounds.least = r.u32()
	case 1:
		bounds.least, bounds.capped = r.u32(), true
		bounds.most = r.u32()
	case 2, 3:
		r.failAt(start, "shared %s is not supported", what)
	case 4, 5, 6, 7:
		r.failAt(start, "64-bit %s is not supported", what)
	default:
		r.failAt(start, "limits %#x of %s are not known", flags, what)
	}
	return bounds
}

func (l limits) append(to []byte) []byte {
	if !l.capped {
		return appendU32(append(to, 0), l.least)
	}
	return appendU32(appendU32(append(to, 1), l.least), l.most)
}
