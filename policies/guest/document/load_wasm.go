package document

import "unsafe"

// load is the eight bytes at an offset, of which there are as many. WebAssembly reads them at
// once, from wherever they lie; made of single bytes they take Go's compiler eight loads.
func load(content string, at int) uint64 {
	return *(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.StringData(content)), at))
}
