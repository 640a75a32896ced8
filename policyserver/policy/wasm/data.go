package wasm

import (
	"cmp"
	"slices"
)

// rewriteData copies the data segments in shortest form and joins neighbours. Go's linker
// writes some ten thousand segments to leave out short runs of zeros; each costs an
// instance more time than the zeros do.
func (w *rewriter) rewriteData(r *reader) {
	n := r.count("data segments")
	section := dataSection{content: r.data, segments: make([]data, 0, n)}
	for range n {
		w.readData(r, &section)
		if r.err != nil {
			return
		}
	}
	// With a data count section instructions may name segments by their index.
	_, named := w.sections[sectionDataCount]
	w.sections[sectionData] = section.joined(!named)
}

// dataSection is what was read of a data section.
type dataSection struct {
	content  []byte
	segments []data
	heads    [][]byte
}

// data is a data segment: at an address, or with a head of another form. There may be very
// many, so that they are small and point to nothing.
type data struct {
	address int64  // or -1 for the first head, -2 for the second, and so on
	begin   uint32 // of its payload, in the section
	size    uint32
}

func (d data) end() int64 { return d.address + int64(d.size) }

func (s *dataSection) payload(of data) []byte { return s.content[of.begin:][:of.size] }

func (w *rewriter) readData(r *reader, into *dataSection) {
	start := r.pos
	var address int64
	var head []byte
	switch flags := r.u32(); flags {
	case 0:
		if address = readAddress(r); address < 0 {
			head = w.copyConstant([]byte{0}, r)
		}
	case 1: // passive
		head = []byte{1}
	case 2:
		if r.u32() != 0 {
			r.failAt(start, "more than one memory is not supported")
		}
		head = w.copyConstant([]byte{2, 0}, r)
	default:
		r.failAt(start, "data segment of form %d is not known", flags)
	}
	if head != nil {
		into.heads = append(into.heads, head)
		address = -int64(len(into.heads))
	}
	size := r.u32()
	into.segments = append(into.segments, data{address: address, begin: uint32(r.pos), size: size})
	r.take(size)
}

// readAddress reads an expression that is one constant. Any other it leaves unread and
// answers -1.
func readAddress(r *reader) int64 {
	ahead := *r
	if ahead.byte() != opI32Const {
		return -1
	}
	address := ahead.s32()
	if ahead.byte() != opEnd || ahead.err != nil {
		return -1
	}
	*r = ahead
	return int64(uint32(address))
}

// maxDataGap is how many zeros are written to save a segment.
const maxDataGap = 256

// maxDataZeros is how many are written in all, or as many as the section has bytes: segments of
// one byte each would become a section of forty times the size, and memory that nobody counted.
const maxDataZeros = 1 << 20

// maxDataHead bounds what stands before the payload of a segment at an address.
const maxDataHead = 16

// joined is the section, with segments joined that lie close to each other if that is
// allowed. There are zeros between them then: memory begins as zeros.
func (s *dataSection) joined(join bool) []byte {
	if join {
		s.segments, join = inOrder(s.segments)
	}
	var runs [][]data
	size, zeros := 0, int64(max(maxDataZeros, len(s.content)))
	for left := s.segments; len(left) > 0; {
		n := 1
		for ; join && n < len(left); n++ {
			gap := left[n].address - left[n-1].end()
			if gap > maxDataGap || gap > zeros {
				break
			}
			zeros -= gap
		}
		runs, left = append(runs, left[:n]), left[n:]
		size += maxDataHead + runLength(runs[len(runs)-1])
	}
	for _, head := range s.heads {
		size += len(head)
	}
	joined := newVector(size)
	for _, run := range runs {
		joined.n++
		joined.items = s.appendRun(joined.items, run)
	}
	return joined.bytes()
}

// inOrder gives segments by their addresses, which is how linkers write them but for a few;
// or as they are, and false, where there are none, or one segment could lie over another:
// then their order matters, and zeros between two could erase a third.
func inOrder(segments []data) (sorted []data, apart bool) {
	sorted = slices.Clone(segments)
	slices.SortStableFunc(sorted, func(a, b data) int { return cmp.Compare(a.address, b.address) })
	for i := range sorted {
		if sorted[i].address < 0 || i > 0 && sorted[i].address < sorted[i-1].end() {
			return segments, false
		}
	}
	return sorted, true
}

// runLength is how many bytes a run of segments is long.
func runLength(run []data) int {
	first, last := run[0], run[len(run)-1]
	return int(last.end() - first.address)
}

// appendRun writes a run of segments as one.
func (s *dataSection) appendRun(to []byte, run []data) []byte {
	if first := run[0]; first.address >= 0 {
		to = appendSigned(append(to, 0, opI32Const), int64(int32(first.address)))
		to = append(to, opEnd)
	} else {
		to = append(to, s.heads[-1-first.address]...)
	}
	to = appendU32(to, uint32(runLength(run)))
	for i, segment := range run {
		if i > 0 {
			to = append(to, make([]byte, segment.address-run[i-1].end())...)
		}
		to = append(to, s.payload(segment)...)
	}
	return to
}
