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
