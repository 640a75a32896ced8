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
	items []byte // behind room for the count, which is known last
}

// newVector is an empty one with room for so many bytes.
func newVector(size int) vector {
	return vector{items: make([]byte, maxCount, maxCount+size)}
}

func (v *vector) add(item ...byte) {
	if v.items == nil {
		v.items = make([]byte, maxCount, 64)
	}
	v.n++
	v.items = append(v.items, item...)
}

// bytes is the list with its count. It shares the memory of the vector.
func (v *vector) bytes() []byte {
	if v.items == nil {
		return []byte{0}
	}
	var count [maxCount]byte
	size := len(appendU32(count[:0], v.n))
	copy(v.items[maxCount-size:], count[:size])
	return v.items[maxCount-size:]
}
