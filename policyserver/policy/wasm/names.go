package wasm

// Subsections of the name section that survive: they name the module and its functions,
// which is what a trap's stack trace shows. Names of locals and labels serve debuggers,
// and the line tables that go with them do not survive the rewrite either.
const (
	namesModule    = 0
	namesFunctions = 1
)

// rewriteNames is the body of the name section with shifted function indices, or nil when
// there is none or it is malformed: a custom section never makes a module invalid.
func (w *rewriter) rewriteNames() []byte {
	payload, present := w.module.CustomSection("name")
	if !present {
		return nil
	}
	out := appendName(nil, []byte("name"))
	r := &reader{data: payload}
	for r.more() {
		id := r.byte()
		body := r.sub(r.u32())
		if r.err != nil {
			return nil
		}
		switch id {
		case namesModule:
			name := body.name("name of the module")
			out = appendSection(out, id, appendName(nil, name))
		case namesFunctions:
			out = appendSection(out, id, w.shiftFunctionNames(body))
		}
		if body.err != nil {
			return nil
		}
	}
	return out
}

func (w *rewriter) shiftFunctionNames(r *reader) []byte {
	names := newVector(len(r.data))
	for range r.count("function names") {
		index := w.shifted(r.u32())
		name := r.name("name of a function")
		if r.err != nil {
			return nil
		}
		names.n++
		names.items = appendName(appendU32(names.items, index), name)
	}
	return names.bytes()
}
