package wasm

import (
	"fmt"
	"strconv"
)

// rewriteImports takes the memory out, counts the rest, and adds the tick as the last
// imported function.
func (w *rewriter) rewriteImports(r *reader) {
	var imports vector
	for range r.count("imports") {
		start := r.pos
		module, name := r.name("module of an import"), r.name("name of an import")
		item := appendName(appendName(nil, module), name)
		kind := Kind(r.byte())
		if r.err != nil {
			return
		}
		item = append(item, byte(kind))
		switch kind {
		case KindFunction:
			w.functionTypes = append(w.functionTypes, r.u32())
			item = appendU32(item, w.functionTypes[w.importedFunctions])
			w.noteRead(string(module), string(name))
			w.importedFunctions++
		case KindTable:
			item = w.copyTable(item, r)
			w.importedTables++
		case KindMemory:
			if w.memory != nil {
				r.failAt(start, "more than one memory is not supported")
			}
			w.memory = readLimits(r, "memory").append(nil)
			continue
		case KindGlobal:
			item, _, _ = copyGlobalType(item, r)
			w.globalCount++
		default:
			r.failAt(start, "import of %v is not supported", kind)
		}
		w.imports = append(w.imports, Import{Module: string(module), Name: string(name), Kind: kind})
		imports.add(item...)
	}
	tick := appendName(appendName(nil, []byte(FuelModule)), []byte(FuelFunction))
	imports.add(appendU32(append(tick, byte(KindFunction)), w.tickType)...)
	if w.parks {
		park := appendName(appendName(nil, []byte(ParkModule)), []byte(ParkFunction))
		imports.add(appendU32(append(park, byte(KindFunction)), w.addType(1, 1))...)
	}
	w.sections[sectionImport] = imports.bytes()
}

func (w *rewriter) rewriteFunctions(r *reader) {
	w.localFunctions = r.count("functions")
	w.functions = newVector(len(r.data))
	for range w.localFunctions {
		index := r.u32()
		w.functionTypes = append(w.functionTypes, index)
		w.functions.n++
		w.functions.items = appendU32(w.functions.items, index)
	}
}

// rewriteTables gives every table a maximum.
func (w *rewriter) rewriteTables(r *reader) {
	n := r.count("tables")
	var tables vector
	for range n {
		start := r.pos
		var item []byte
		initialised := r.peek() == 0x40
		if initialised {
			r.byte()
			if reserved := r.byte(); reserved != 0 {
				r.failAt(start, "table form 0x40 %#x is not known", reserved)
			}
			item = append(item, 0x40, 0)
		}
		item = copyReferenceType(item, r)
		bounds := readLimits(r, "table")
		most := maxTableElements / n
		if bounds.least > most {
			r.failAt(start, "table of %d elements, at most %d are allowed", bounds.least, most)
		}
		if !bounds.capped || bounds.most > most {
			bounds.most, bounds.capped = most, true
		}
		item = bounds.append(item)
		if initialised {
			item = w.copyConstant(item, r)
		}
		if r.err != nil {
			return
		}
		tables.add(item...)
	}
	w.sections[sectionTable] = tables.bytes()
}

// copyTable copies the type of an imported table.
func (w *rewriter) copyTable(to []byte, r *reader) []byte {
	to = copyReferenceType(to, r)
	return readLimits(r, "table").append(to)
}

func (w *rewriter) rewriteMemory(r *reader) {
	start := r.pos
	n := r.count("memories")
	if n > 1 || n == 1 && w.memory != nil {
		r.failAt(start, "more than one memory is not supported")
		return
	}
	if n == 1 {
		w.memory = readLimits(r, "memory").append(nil)
	}
}

// rewriteGlobals adds the fuel as the last global and notes the mutable ones.
func (w *rewriter) rewriteGlobals(r *reader) {
	var globals vector
	for range r.count("globals") {
		item, valueType, mutable := copyGlobalType(nil, r)
		item = w.copyConstant(item, r)
		if r.err != nil {
			return
		}
		globals.add(item...)
		if mutable {
			w.noteMutable(valueType)
		}
		w.globalCount++
	}
	// It starts empty: the first instruction of a new instance looks at the deadline.
	globals.add(typeI32, 1, opI32Const, 0, opEnd)
	w.sections[sectionGlobal] = globals.bytes()
}

func (w *rewriter) noteMutable(valueType byte) {
	switch valueType {
	case typeI32, typeI64, typeF32, typeF64:
		w.mutable = append(w.mutable, w.globalCount)
	default:
		w.cannotRestore(fmt.Sprintf("mutable global of type %#x", valueType))
	}
}

func copyGlobalType(to []byte, r *reader) (item []byte, valueType byte, mutable bool) {
	valueType = r.peek()
	to = copyValueType(to, r)
	start := r.pos
	flag := r.byte()
	if flag > 1 {
		r.failAt(start, "mutability %#x is not known", flag)
	}
	return append(to, flag), valueType, flag == 1
}

// rewriteExports shifts function indices and adds the mutable globals.
func (w *rewriter) rewriteExports(r *reader) {
	var exports vector
	for range r.count("exports") {
		start := r.pos
		name := string(r.name("name of an export"))
		item := appendName(nil, []byte(name))
		kind := Kind(r.byte())
		index := r.u32()
		switch kind {
		case KindFunction:
			index = w.exported(name, index)
		case KindTable, KindMemory, KindGlobal:
		default:
			r.failAt(start, "export of %v is not supported", kind)
		}
		if r.err != nil {
			return
		}
		exports.add(appendU32(append(item, byte(kind)), index)...)
	}
	for _, index := range w.mutable {
		name := GlobalPrefix + strconv.FormatUint(uint64(index), 10)
		w.globalNames = append(w.globalNames, name)
		exports.add(appendU32(append(appendName(nil, []byte(name)), byte(KindGlobal)), index)...)
	}
	w.sections[sectionExport] = exports.bytes()
}

func (w *rewriter) rewriteStart(r *reader) {
	w.sections[sectionStart] = appendU32(nil, w.function(r.u32()))
}

func (w *rewriter) rewriteDataCount(r *reader) {
	w.sections[sectionDataCount] = appendU32(nil, r.u32())
}
