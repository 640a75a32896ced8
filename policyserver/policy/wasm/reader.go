package wasm

import (
	"fmt"
	"unicode/utf8"
)

// FormatError says what is wrong with a module and where.
type FormatError struct {
	// Offset is counted in bytes from the beginning of the module.
	Offset int
	// Reason is what is wrong there.
	Reason string
}

// Error names the offset first: it is what one looks up in a dump of the module.
func (e *FormatError) Error() string {
	return fmt.Sprintf("offset %#x: %s", e.Offset, e.Reason)
}

// reader reads a part of a module. Its first error stays: later reads return zeros and
// change nothing, so that a caller checks err where it matters and not at each read.
type reader struct {
	data []byte
	pos  int
	base int // offset of data[0] in the module
	err  *FormatError
}

func (r *reader) fail(format string, args ...any) {
	r.failAt(r.pos, format, args...)
}

func (r *reader) failAt(pos int, format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{Offset: r.base + pos, Reason: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) remaining() int {
	if r.err != nil {
		return 0
	}
	return len(r.data) - r.pos
}

// more says whether there is anything left to read and no error yet.
func (r *reader) more() bool { return r.remaining() > 0 }

func (r *reader) byte() byte {
	if r.remaining() < 1 {
		r.fail("unexpected end")
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

func (r *reader) peek() byte {
	if r.remaining() < 1 {
		r.fail("unexpected end")
		return 0
	}
	return r.data[r.pos]
}

func (r *reader) take(n uint32) []byte {
	if uint64(n) > uint64(r.remaining()) {
		r.fail("%d bytes wanted, %d left", n, r.remaining())
		return nil
	}
	taken := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return taken
}

// sub is a reader of the next n bytes.
func (r *reader) sub(n uint32) *reader {
	part := &reader{base: r.base + r.pos}
	part.data = r.take(n)
	part.err = r.err
	return part
}

func (r *reader) u32() uint32 {
	if r.err == nil && r.pos < len(r.data) && r.data[r.pos] < 0x80 {
		r.pos++
		return uint32(r.data[r.pos-1])
	}
	return uint32(r.unsigned(32))
}

func (r *reader) unsigned(bits uint) uint64 {
	start := r.pos
	var value uint64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if left := bits - shift; left < 7 && b>>left != 0 {
			r.failAt(start, "number does not fit %d bits", bits)
			return 0
		}
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
}

func (r *reader) s32() int64 { return r.signed(32) }
func (r *reader) s33() int64 { return r.signed(33) }
func (r *reader) s64() int64 { return r.signed(64) }

func (r *reader) signed(bits uint) int64 {
	start := r.pos
	var value int64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		value |= int64(b&0x7f) << shift
		if left := bits - shift; left < 7 {
			// The last byte holds the sign and nothing beyond it.
			if sign := int8(b<<1) >> left; b >= 0x80 || sign != 0 && sign != -1 {
				r.failAt(start, "number does not fit %d bits", bits)
				return 0
			}
		}
		if b < 0x80 {
			if shift+7 < 64 && b&0x40 != 0 {
				value |= -1 << (shift + 7)
			}
			return value
		}
	}
}

// count reads how many items follow. An item takes a byte at least, so a count beyond
// what is left is refused before anybody allocates by it.
func (r *reader) count(what string) uint32 {
	start := r.pos
	n := r.u32()
	if uint64(n) > uint64(r.remaining()) {
		r.failAt(start, "%d %s announced, %d bytes left", n, what, r.remaining())
		return 0
	}
	return n
}

func (r *reader) name(what string) []byte {
	start := r.pos
	name := r.take(r.u32())
	if r.err == nil && !utf8.Valid(name) {
		r.failAt(start, "%s is not valid UTF-8", what)
	}
	return name
}

// end demands that everything was read.
func (r *reader) end(what string) {
	if r.err == nil && r.pos != len(r.data) {
		r.fail("%d bytes after the end of %s", len(r.data)-r.pos, what)
	}
}
