//go:build !wasm

package document

// load is the eight bytes at an offset, of which there are as many, the first of them lowest.
func load(content string, at int) uint64 {
	b := content[at : at+wordBytes]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
