package wasm

// Most instructions stay as they are, byte by byte, and so do those around them: they are
// copied together, without being taken apart and written anew.

const (
	// shortNumber is how many bytes a number has at most in an instruction that is copied so.
	// With so few it is within the range of whatever it is.
	shortNumber = 4
	// shortInstruction is how many bytes such an instruction has at most: an opcode, an
	// alignment of one byte, and a number.
	shortInstruction = 2 + shortNumber
)

// copyPlain copies the instructions that come next, up to the first that is to become another
// one, begins or ends a charge, is not in its shortest form, or stands close to the end. That
// one is for copyInstruction, which would do the same to those before it.
func (b *body) copyPlain() {
	data, pos := b.in.data, b.in.pos
	place := len(b.out) - pos // in out, of what is at the beginning of data
	weight := 0
	for pos+shortInstruction <= len(data) {
		length := b.plain(data[pos:pos+shortInstruction], place+pos)
		if length == 0 {
			break
		}
		pos += length
		weight += weightPlain
	}
	b.charges[b.open[len(b.open)-1]].weight += weight
	b.out = append(b.out, data[b.in.pos:pos]...)
	b.in.pos = pos
}

// plain is the length of the instruction with which code begins, of which it keeps account as
// copyInstruction does; or 0 when it is none for copyPlain. place is where it will be in out.
func (b *body) plain(code []byte, place int) (length int) {
	op, next := code[0], code[1]
	switch immediates[op] {
	case none:
		return 1
	case index:
		return shortUnsigned(code, 1)
	case local:
		if next < 0x80 {
			b.use(op, uint32(next), place)
			return 2
		}
	case access:
		if next < mostAlignment {
			return shortUnsigned(code, 2)
		}
	case constI32, constI64:
		return shortSigned(code, 1)
	case blockType:
		if op != opLoop && (next == typeEmpty || next >= typeF64 && next <= typeI32) {
			b.note(op)
			return 2
		}
	case blockEnd:
		if last := len(b.open) - 1; last > 0 && b.open[last] == b.open[last-1] {
			b.note(op)
			return 1
		}
	default: // needs a closer look
	}
	return 0
}

// shortUnsigned is where an unsigned number ends that begins at some place; 0 when it is not
// in its shortest form, or long.
func shortUnsigned(code []byte, begin int) (end int) {
	for end = begin; end < begin+shortNumber; end++ {
		if last := code[end]; last < 0x80 {
			if last == 0 && end > begin {
				return 0
			}
			return end + 1
		}
	}
	return 0
}

// shortSigned is shortUnsigned for a signed number: its last byte is too much when it has
// nothing but the sign that the one before has already.
func shortSigned(code []byte, begin int) (end int) {
	for end = begin; end < begin+shortNumber; end++ {
		if last := code[end]; last < 0x80 {
			if end > begin && (last == 0 && code[end-1]&0x40 == 0 || last == 0x7f && code[end-1]&0x40 != 0) {
				return 0
			}
			return end + 1
		}
	}
	return 0
}
