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

// vector is a list of the binary format while it is written.
type vector struct {
	n     uint32
	items []byte
}

func (v *vector) add(item ...byte) {
	v.n++
	v.items = append(v.items, item...)
}

func (v *vector) bytes() []byte {
	return append(appendU32(make([]byte, 0, len(v.items)+5), v.n), v.items...)
}
