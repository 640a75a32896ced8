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
	all := make([]data, 0, n)
	for range n {
		all = append(all, w.readData(r))
		if r.err != nil {
			return
		}
	}
	// With a data count section instructions may name segments by their index.
	if _, named := w.sections[sectionDataCount]; !named {
		all = joinData(all)
	}
	segments := vector{items: make([]byte, 0, len(r.data))}
	for _, segment := range all {
		segments.n++
		segments.items = segment.append(segments.items)
	}
	w.sections[sectionData] = segments.bytes()
}

// data is a data segment: at an address, or with a head of another form.
type data struct {
	address int64 // -1 when there is a head
	head    []byte
	payload []byte
}

func (d *data) end() int64 { return d.address + int64(len(d.payload)) }

func (d *data) append(to []byte) []byte {
	if d.address >= 0 {
		to = appendSigned(append(to, 0, opI32Const), int64(int32(d.address)))
		to = append(to, opEnd)
	} else {
		to = append(to, d.head...)
	}
	return append(appendU32(to, uint32(len(d.payload))), d.payload...)
}

func (w *rewriter) readData(r *reader) data {
	start := r.pos
	segment := data{address: -1}
	switch flags := r.u32(); flags {
	case 0:
		if segment.address = readAddress(r); segment.address < 0 {
			segment.head = w.copyConstant([]byte{0}, r)
		}
	case 1: // passive
		segment.head = []byte{1}
	case 2:
		if r.u32() != 0 {
			r.failAt(start, "more than one memory is not supported")
		}
		segment.head = w.copyConstant([]byte{2, 0}, r)
	default:
		r.failAt(start, "data segment of form %d is not known", flags)
	}
	segment.payload = r.take(r.u32())
	return segment
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

// joinData joins segments that lie close to each other, with zeros between them: memory
// begins as zeros. It changes nothing where one segment could lie over another, since then
// their order matters, and zeros between two could erase a third.
func joinData(all []data) []data {
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b data) int { return cmp.Compare(a.address, b.address) })
	for i := range sorted {
		if sorted[i].address < 0 || i > 0 && sorted[i].address < sorted[i-1].end() {
			return all
		}
	}
	var joined []data
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].address-sorted[n-1].end() <= maxDataGap {
			n++
		}
		joined = append(joined, joinRun(sorted[:n]))
		sorted = sorted[n:]
	}
	return joined
}

func joinRun(run []data) data {
	if len(run) == 1 {
		return run[0]
	}
	begin := run[0].address
	payload := make([]byte, run[len(run)-1].end()-begin)
	for _, segment := range run {
		copy(payload[segment.address-begin:], segment.payload)
	}
	return data{address: begin, payload: payload}
}
