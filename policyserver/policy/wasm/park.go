package wasm

// noteRead notes whether the imported function that comes next is the one by which a command
// reads its standard input.
func (w *rewriter) noteRead(module, name string) {
	if !w.parks || w.read != nil || module != "wasi_snapshot_preview1" || name != "fd_read" {
		return
	}
	if index := w.importedFunctions; w.hasType(index, 4, 1) {
		w.read = &index
	}
}

// hasType says whether a function of the original module has a type over i32.
func (w *rewriter) hasType(index uint32, params, results int) bool {
	return uint64(index) < uint64(len(w.functionTypes)) &&
		w.plainTypes[w.functionTypes[index]] == string(functionType(params, results))
}

// exported is the index of an exported function; a command's start function is replaced.
func (w *rewriter) exported(name string, index uint32) uint32 {
	if !w.parks || name != "_start" || !w.hasType(index, 0, 0) {
		return w.function(index)
	}
	w.start = w.function(index)
	return w.helper(helperStart)
}

// readBody asks the host before a command reads its standard input, and again until the
// answer is 0. The rest is for the original function.
func (w *rewriter) readBody() []byte {
	body := []byte{0} // no locals
	body = append(body, opLocalGet, 0, opI32Eqz, opIf, typeEmpty, opLoop, typeEmpty, opI32Const, ParkReading, opCall)
	body = append(appendU32(body, w.park()), opBrIf, 0, opEnd, opEnd)
	for parameter := range byte(4) {
		body = append(body, opLocalGet, parameter)
	}
	return append(appendU32(append(body, opCall), *w.read), opEnd)
}

// startBody runs a command and tells the host when it has returned.
func (w *rewriter) startBody() []byte {
	body := append([]byte{0}, opCall) // no locals
	body = append(appendU32(body, w.start), opI32Const, ParkEnded, opCall)
	return append(appendU32(body, w.park()), opDrop, opEnd)
}
