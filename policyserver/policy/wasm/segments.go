package wasm

import (
	"cmp"
	"slices"
)

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

// rewriteData copies the data segments in shortest form and joins neighbours. Go's linker
// writes some ten thousand segments to leave out short runs of zeros; each costs an
// instance more time than the zeros do.
func (w *rewriter) rewriteData(r *reader) {
	var all []data
	for range r.count("data segments") {
		segment := w.readData(r)
		if r.err != nil {
			return
		}
		all = append(all, segment)
	}
	// With a data count section instructions may name segments by their index.
	if _, named := w.sections[sectionDataCount]; !named {
		all = joinData(all)
	}
	var segments vector
	for _, segment := range all {
		segments.add(segment.head...)
		segments.items = append(appendU32(segments.items, uint32(len(segment.payload))), segment.payload...)
	}
	w.sections[sectionData] = segments.bytes()
}

// joinData joins segments that lie close to each other. It changes nothing where one
// could lie over another: then their order matters and zeros between them could erase one.
func joinData(all []data) []data {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b data) int { return cmp.Compare(a.address, b.address) })
	for i, segment := range sorted {
		if segment.address < 0 || i > 0 && segment.address < sorted[i-1].end() {
			return all
		}
	}
	var joined []data
	for _, segment := range sorted {
		if last := len(joined) - 1; last < 0 || !joined[last].join(segment) {
			joined = append(joined, segment)
		}
	}
	return joined
}

// data is a data segment.
type data struct {
	head    []byte // form and address
	address int64  // where it is a plain number, else -1
	payload []byte
	owned   bool // payload is a copy that may grow
}

func (w *rewriter) readData(r *reader) data {
	start := r.pos
	flags := r.u32()
	segment := data{head: appendU32(nil, flags), address: -1}
	switch flags {
	case 0:
		constant := w.copyConstant(nil, r)
		segment.head = append(segment.head, constant...)
		segment.address = plainAddress(constant)
	case 1: // passive
	case 2:
		if r.u32() != 0 {
			r.failAt(start, "more than one memory is not supported")
		}
		segment.head = w.copyConstant(append(segment.head, 0), r)
	default:
		r.failAt(start, "data segment of form %d is not known", flags)
	}
	segment.payload = r.take(r.u32())
	return segment
}

// plainAddress is the value of an expression that is one constant, else -1.
func plainAddress(expression []byte) int64 {
	r := &reader{data: expression}
	if r.byte() != opI32Const {
		return -1
	}
	address := r.s32()
	if r.byte() != opEnd || r.err != nil {
		return -1
	}
	return int64(uint32(address))
}

// maxDataGap is how many zeros are written to save a segment.
const maxDataGap = 256

func (d *data) end() int64 { return d.address + int64(len(d.payload)) }

// join appends a segment that lies a little further on, with zeros between. Nothing else
// is written there, and memory begins as zeros.
func (d *data) join(next data) bool {
	gap := next.address - d.end()
	if gap > maxDataGap {
		return false
	}
	if !d.owned {
		d.payload, d.owned = append(make([]byte, 0, 2*len(d.payload)+64), d.payload...), true
	}
	d.payload = append(append(d.payload, make([]byte, gap)...), next.payload...)
	return true
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
