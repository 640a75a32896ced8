package wasm

// How long a compiler works on a function does not follow from the function's size: it
// grows with the square of its blocks, faster with its loops, and with locals times
// blocks. 80 KB of nested ifs over 4,000 locals keep wazero 1.12 busy for three minutes
// and 1.7 GB. Nothing stops a compilation, so what would take too long is not begun.
//
// A unit of effort is about 50 ns. Functions of real policies stay far below: the largest
// known have some thousand blocks and some hundred locals.
const (
	maxFunctionLoops      = 2_000
	maxFunctionBlockSlots = 2_000_000 // blocks times locals: about 100 bytes and 10 us each
	maxEffort             = 2_000_000_000
	// effortIgnored leaves out functions that are compiled in a few ms: their effort is
	// linear in the size of the module, and a large module may have very many.
	effortIgnored = 100_000
)

// shape is what the effort for a function depends on.
type shape struct {
	blocks int // blocks and ifs
	loops  int
	locals int
	// targets are those of all br_table: each is compared with all before it that lead to
	// the same place. A million of them, which are 1 MB, take minutes.
	targets int
}

// account adds the effort for a function to the module's and refuses what goes too far.
func (w *rewriter) account(r *reader, function shape) {
	if function.loops > maxFunctionLoops {
		r.failAt(0, "function with %d loops, at most %d are allowed", function.loops, maxFunctionLoops)
		return
	}
	blocks := function.blocks + 4*function.loops
	if blocks*function.locals > maxFunctionBlockSlots {
		r.failAt(0, "function with %d blocks over %d locals would take too much memory to compile",
			function.blocks, function.locals)
		return
	}
	if effort := blocks*blocks + 200*blocks*function.locals + function.targets*function.targets/10; effort > effortIgnored {
		w.effort += effort
	}
	if w.effort > maxEffort {
		r.failAt(0, "module would take too long to compile: its functions have too many blocks or branches")
	}
}
