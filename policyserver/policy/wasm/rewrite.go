package wasm

import (
	"fmt"
	"slices"
)

// The function that a rewritten module imports and calls when its fuel has run out. It
// takes nothing, returns the next amount of fuel as an i32, and does not return when the
// guest is to be stopped.
const (
	FuelModule   = "kubewarden:fuel"
	FuelFunction = "tick"
)

// The function that a rewritten command imports. It is called with one of the two numbers
// below. After ParkReading it returns 0 when the command is to read now, and another number
// when it is to call once more before that; what it returns after ParkEnded is not used.
const (
	ParkModule   = "kubewarden:park"
	ParkFunction = "park"
	// ParkReading says that the command is about to read its standard input.
	ParkReading = 0
	// ParkEnded says that the command has returned from its start function.
	ParkEnded = 1
)

// Quantum is the amount of fuel to return from a tick. One unit is up to 32 instructions
// or 128 bytes of a bulk operation: a quantum is between some microseconds and about a
// millisecond of a guest's time. A tick costs about 0.1 us.
const Quantum = 1 << 14

// GlobalPrefix begins the names under which mutable globals are exported; the index of
// the global follows.
const GlobalPrefix = "kubewarden:global:"

// Limits on what a module may declare. Those with a name in the specification's appendix
// on implementation limits are what browsers allow.
const (
	maxParams        = 1000
	maxResults       = 1000
	maxLocals        = 50_000
	maxFunctionBytes = 7_654_321
	// maxTableElements bounds all tables of a module together. An element is 8 bytes of
	// the host's memory; the largest policies known have some ten thousand.
	maxTableElements = 1 << 20
)

// Kind is what an import or export is.
type Kind byte

// Kinds, as the format numbers them.
const (
	KindFunction Kind = 0
	KindTable    Kind = 1
	KindMemory   Kind = 2
	KindGlobal   Kind = 3
)

// String is the kind's name in messages.
func (k Kind) String() string {
	names := []string{"function", "table", "memory", "global"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Import is something that a module wants from the host.
type Import struct {
	Module string
	Name   string
	Kind   Kind
}

// Rewritten is a module after the rewrite.
type Rewritten struct {
	// Wasm is the rewritten binary. Whether it is valid beyond its structure is for the
	// compiler to say.
	Wasm []byte
	// Imports are what the module wanted before the rewrite, but for its memory, which
	// is local now.
	Imports []Import
	// CodeBytes is the size of the code in Wasm.
	CodeBytes int
	// Globals are the exported names of all mutable globals of numeric type.
	Globals []string
	// Unrestorable names the first construct by which a guest can change what neither
	// its memory nor Globals hold, so that an instance cannot be put back to its first
	// state; "" when there is none.
	Unrestorable string
}

// Rewrite gives a module fuel, exports its mutable globals, makes an imported memory
// local and bounds its tables. What the guest computes stays the same. Custom sections
// are dropped, except for names that help to read a trap. The error is a *FormatError;
// it names an instruction that is not known.
func Rewrite(binary []byte) (Rewritten, error) { return rewrite(binary, false) }

// RewriteCommand rewrites a module that is run by its function "_start" and reads from the
// standard input of WASI. Besides what Rewrite does, it has the command say when it begins
// to read and when it has ended, see ParkFunction. A command that does neither in the usual
// way is as after Rewrite.
func RewriteCommand(binary []byte) (Rewritten, error) { return rewrite(binary, true) }

func rewrite(binary []byte, parks bool) (Rewritten, error) {
	module, err := Parse(binary)
	if err != nil {
		return Rewritten{}, err
	}
	rewriter := rewriter{module: module, sections: map[byte][]byte{}, parks: parks, plainTypes: map[uint32]string{}}
	for _, step := range rewriter.steps() {
		r, present := module.known[step.id]
		if !present {
			r = &reader{data: []byte{0}} // an absent section is an empty list
		}
		if present || step.always {
			step.rewrite(r)
			r.end(fmt.Sprintf("section %d", step.id))
		}
		if r.err != nil {
			return Rewritten{}, r.err
		}
	}
	rewriter.finish()
	return Rewritten{
		Wasm:         rewriter.assemble(),
		Imports:      rewriter.imports,
		CodeBytes:    len(rewriter.sections[sectionCode]),
		Globals:      rewriter.globalNames,
		Unrestorable: rewriter.unrestorable,
	}, nil
}

// rewriter holds what one section must know of another.
type rewriter struct {
	module   *Module
	sections map[byte][]byte

	imports      []Import
	globalNames  []string
	unrestorable string

	types     vector // type section
	typeCount uint32 // its types; a recursion group is one item of several types
	tickType  uint32

	plainTypes map[uint32]string // those outside of recursion groups
	params     [][]byte          // of all function types, see paramsOf

	parks         bool
	read          *uint32  // the imported function that reads
	start         uint32   // the function that "_start" was, where it was replaced
	functionTypes []uint32 // of imported and local functions

	importedFunctions uint32
	localFunctions    uint32
	functions         vector // function section
	code              vector // code section
	effort            int    // of compiling it

	importedTables uint32
	memory         []byte // limits of an imported memory
	globalCount    uint32 // before the fuel, which comes last
	mutable        []uint32
	helpers        [helperKinds]uint32 // function index, 0 = not used
}

// step is the rewrite of one section. Later steps use what earlier ones counted.
type step struct {
	id      byte
	always  bool
	rewrite func(*reader)
}

func (w *rewriter) steps() []step {
	return []step{
		{sectionType, true, w.rewriteTypes},
		{sectionImport, true, w.rewriteImports},
		{sectionFunction, true, w.rewriteFunctions},
		{sectionTable, false, w.rewriteTables},
		{sectionMemory, false, w.rewriteMemory},
		{sectionTag, false, func(r *reader) { r.fail("exception handling is not supported") }},
		{sectionGlobal, true, w.rewriteGlobals},
		{sectionExport, true, w.rewriteExports},
		{sectionStart, false, w.rewriteStart},
		{sectionElement, false, w.rewriteElements},
		{sectionDataCount, false, w.rewriteDataCount},
		{sectionCode, true, w.rewriteCode},
		{sectionData, false, w.rewriteData},
	}
}

// function is the index of what is called in the place of a function of the original module.
// Reading a command's standard input goes through a helper.
func (w *rewriter) function(index uint32) uint32 {
	if w.read != nil && index == *w.read {
		return w.helper(helperRead)
	}
	return w.shifted(index)
}

// shifted is the index that a function of the original module has now: what the host adds is
// inserted after the imported functions, before the local ones.
func (w *rewriter) shifted(index uint32) uint32 {
	if index >= w.importedFunctions {
		return index + w.added()
	}
	return index
}

// added is how many functions of the host are imported besides those of the original.
func (w *rewriter) added() uint32 {
	if w.parks {
		return 2
	}
	return 1
}

func (w *rewriter) tick() uint32 { return w.importedFunctions }

func (w *rewriter) park() uint32 { return w.importedFunctions + 1 }

func (w *rewriter) fuel() uint32 { return w.globalCount }

func (w *rewriter) cannotRestore(what string) {
	if w.unrestorable == "" {
		w.unrestorable = what
	}
}

// finish writes the sections that grew while others were rewritten.
func (w *rewriter) finish() {
	w.appendHelpers()
	w.sections[sectionType] = w.types.bytes()
	w.sections[sectionFunction] = w.functions.bytes()
	w.sections[sectionCode] = w.code.bytes()
	if w.memory != nil {
		w.sections[sectionMemory] = append([]byte{1}, w.memory...)
	}
}

// The code is the largest section. It is written where it will be in the module, so that
// nothing has to be moved, provided that these sizes are large enough.
const (
	maxSectionHead       = 6  // ID and size
	maxHelperDeclaration = 32 // type and index of the type
)

// sizeBefore bounds what comes before the code. All of that is known when the code is
// rewritten, but for the declarations of helpers.
func (w *rewriter) sizeBefore() int {
	size := len(header) + helperKinds*maxHelperDeclaration + len(w.memory) + len(w.types.items) + len(w.functions.items)
	for _, body := range w.sections {
		size += len(body)
	}
	return size + len(sectionOrder)*maxSectionHead
}

// sizeBehind is about how much comes behind the code. Data of guests in Go grows by a third
// when its segments are joined.
func (w *rewriter) sizeBehind() int {
	size := 2 * maxSectionHead
	if data, present := w.module.known[sectionData]; present {
		size += len(data.data) * 11 / 8
	}
	if names, present := w.module.CustomSection("name"); present {
		size += len(names) * 9 / 8
	}
	return size
}

// assemble writes the other sections before and behind the code.
func (w *rewriter) assemble() []byte {
	out := slices.Clone(header)
	for _, id := range sectionOrder {
		body, present := w.sections[id]
		switch {
		case id == sectionCode:
			out = appendU32(append(out, id), uint32(len(w.sections[sectionCode])))
			out = w.code.behind(appendU32(out, w.code.n))
		case present:
			out = appendSection(out, id, body)
		}
	}
	if names := w.rewriteNames(); names != nil {
		out = appendSection(out, sectionCustom, names)
	}
	return slices.Clip(out)
}
