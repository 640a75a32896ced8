package wasm

func appendU32(to []byte, value uint32) []byte {
	for value >= 0x80 {
		to = append(to, byte(value)|0x80)
		value >>= 7
	}
	return append(to, byte(value))
}

func appendSigned(to []byte, value int64) []byte {
	for {
		b := byte(value & 0x7f)
		value >>= 7
		if value == 0 && b&0x40 == 0 || value == -1 && b&0x40 != 0 {
			return append(to, b)
		}
		to = append(to, b|0x80)
	}
}

func appendName(to, name []byte) []byte {
	return append(appendU32(to, uint32(len(name))), name...)
}

func appendSection(to []byte, id byte, body []byte) []byte {
	to = appendU32(append(to, id), uint32(len(body)))
	return append(to, body...)
}

// maxCount is how many bytes a count takes at most.
const maxCount = 5

// vector is a list of the binary format while it is written.
type vector struct {
	n     uint32
	room  int    // before the items, for what is known last: their count, and what precedes it
	items []byte // behind the room
}

// newVector is an empty one with room for so many bytes.
func newVector(size int) vector { return newVectorBehind(0, size) }

// newVectorBehind has room for so many bytes before it, too.
func newVectorBehind(before, size int) vector {
	room := before + maxCount
	return vector{room: room, items: make([]byte, room, room+size)}
}

func (v *vector) add(item ...byte) {
	if v.items == nil {
		*v = newVector(64)
	}
	v.n++
	v.items = append(v.items, item...)
}

// bytes is the list with its count. It shares the memory of the vector.
func (v *vector) bytes() []byte {
	if v.items == nil {
		return []byte{0}
	}
	return v.behind(appendU32(make([]byte, 0, maxCount), v.n))
}

// behind is the items behind what has room before them. It shares the memory of the vector.
func (v *vector) behind(head []byte) []byte {
	start := v.room - len(head)
	if start < 0 {
		return append(head, v.items[v.room:]...)
	}
	copy(v.items[start:], head)
	return v.items[start:]
}
