package wasm

// charge is a place where fuel is taken: a function's entry or a loop's header. Between
// two charges no instruction runs twice, so that what a charge takes is the weight of the
// instructions that can follow it before the next.
type charge struct {
	place  int // in body.out
	weight int
	around int // the charge of what is around a loop
	// plain is that of a loop with parameters: nothing can branch back to it without them.
	plain bool
	// read are the locals that the loop reads before it writes them, in a reading from its
	// top to its end, and written those that it writes; of a function's entry both are its
	// parameters. Some may stand there twice.
	read, written []uint32
	// carried are those of both that are handed over where the host is called.
	carried []uint32
}

// maxCarried bounds what a charge hands over. What is left out is slower, and not wrong.
const maxCarried = 64

// locals are those of a function body, its parameters first, and when each was last read
// and written, as places in body.out; -1 before that.
type locals struct {
	types          []byte
	params         int
	touched, wrote []int
	marks          []int // by local: the charge that was last asked about it, counted from 1
}

func (l *locals) begin(params []byte) {
	l.types, l.params = append(l.types[:0], params...), len(params)
}

func (l *locals) add(valueType byte, n uint32) {
	for range n {
		l.types = append(l.types, valueType)
	}
}

// known ends the declarations.
func (l *locals) known() {
	l.touched, l.wrote, l.marks = l.touched[:0], l.wrote[:0], l.marks[:0]
	for range l.types {
		l.touched, l.wrote, l.marks = append(l.touched, -1), append(l.wrote, -1), append(l.marks, 0)
	}
}

// number says whether a local is handed over by a local of 4 or of 8 bytes, 0 for neither.
func (l *locals) number(local uint32) int {
	switch l.types[local] {
	case typeI32, typeF32:
		return 4
	case typeI64, typeF64:
		return 8
	default:
		return 0
	}
}

// begin adds a charge; the slices of one that stood there before are used again.
func (b *body) begin(c charge) *charge {
	if n := len(b.charges); n < cap(b.charges) {
		old := b.charges[:n+1][n]
		c.read, c.written, c.carried = old.read[:0], old.written[:0], old.carried[:0]
	}
	b.charges = append(b.charges, c)
	return &b.charges[len(b.charges)-1]
}

// use notes a local.get, local.set or local.tee at a place in out for all loops around it. A
// loop that has seen the local since its header is within others that have, too.
func (b *body) use(op byte, local uint32, place int) {
	l := &b.locals
	if uint64(local) >= uint64(len(l.types)) {
		return // the compiler will say so
	}
	for k := b.open[len(b.open)-1]; k > 0 && l.touched[local] < b.charges[k].place; k = b.charges[k].around {
		if op == opLocalGet {
			b.charges[k].read = append(b.charges[k].read, local)
		}
	}
	l.touched[local] = place
	if op == opLocalGet {
		return
	}
	for k := b.open[len(b.open)-1]; k > 0 && l.wrote[local] < b.charges[k].place; k = b.charges[k].around {
		b.charges[k].written = append(b.charges[k].written, local)
	}
	l.wrote[local] = place
}

// carry decides what each charge hands over, and gives the number of locals of 4 and of 8
// bytes that are needed for it.
func (b *body) carry() (four, eight uint32) {
	for k := range b.charges {
		c := &b.charges[k]
		for _, local := range c.written {
			b.locals.marks[local] = k + 1
		}
		var sizes [9]uint32
		for _, local := range c.read {
			size := b.locals.number(local)
			if c.plain || size == 0 || b.locals.marks[local] != k+1 || len(c.carried) == maxCarried {
				continue
			}
			b.locals.marks[local] = 0
			c.carried = append(c.carried, local)
			sizes[size]++
		}
		four, eight = max(four, sizes[4]), max(eight, sizes[8])
	}
	return four, eight
}

// withFuel is the body with its charges written in. It is valid until the next call.
func (b *body) withFuel() []byte {
	four, eight := b.carry()
	groups := b.groups
	for _, n := range []uint32{four, eight} {
		if n > 0 {
			groups++
		}
	}
	entry := b.charges[0]
	b.item = append(appendU32(b.item[:0], groups), b.out[:entry.place]...)
	if four > 0 {
		b.item = append(appendU32(b.item, four), typeI32)
	}
	if eight > 0 {
		b.item = append(appendU32(b.item, eight), typeI64)
	}
	b.item = append(b.item, opLoop, typeEmpty)
	b.item = append(b.appendCharge(b.item, entry, four), opEnd)
	done := entry.place
	for _, c := range b.charges[1:] {
		b.item = append(b.item, b.out[done:c.place]...)
		b.item = b.appendCharge(b.item, c, four)
		done = c.place
	}
	b.item = append(b.item, b.out[done:]...)
	return b.item
}

// appendCharge takes the fuel for what follows. It stands at the beginning of a loop, and
// when there is not enough asks for more and goes back there, to take it once more.
//
// So the compiler puts the call behind the loop, out of the way. And so the locals that the
// loop carries from one turn to the next may stay in registers: across the call go others
// that are only alive there. Without those the compiler would store each carried local in
// each turn, in case that the call comes.
func (b *body) appendCharge(to []byte, c charge, four uint32) []byte {
	w := b.rewriter
	// More than a quantum can never be there; the next charge asks the host then.
	units := min(1+c.weight/unitInstructions, Quantum)
	to = appendU32(append(to, opGlobalGet), w.fuel())
	to = appendSigned(append(to, opI32Const), int64(units))
	if c.plain {
		return w.appendTake(to)
	}
	to = append(w.appendSubtract(to), opI32GeS, opIf, typeEmpty, opElse)
	aside := b.aside(four)
	for _, local := range c.carried {
		to = append(appendU32(append(to, opLocalGet), local), intoInteger[b.locals.types[local]]...)
		to = appendU32(append(to, opLocalSet), aside(local))
	}
	to = w.appendRefuel(to)
	aside = b.aside(four)
	for _, local := range c.carried {
		to = append(appendU32(append(to, opLocalGet), aside(local)), outOfInteger[b.locals.types[local]]...)
		to = appendU32(append(to, opLocalSet), local)
	}
	return append(to, opBr, 1, opEnd)
}

// aside gives each local that it is asked about, in turn, one that it is copied to.
func (b *body) aside(four uint32) func(local uint32) uint32 {
	first := uint32(len(b.locals.types))
	next := [9]uint32{4: first, 8: first + four}
	return func(local uint32) uint32 {
		at := &next[b.locals.number(local)]
		*at++
		return *at - 1
	}
}

// What makes a number of a type the integer that is carried across a call, and back. The
// first two change nothing, but a plain copy would be the same value to the compiler.
var (
	intoInteger = map[byte][]byte{
		typeI32: {opI32Const, 0, opI32Or}, typeF32: {opI32ReinterpretF32},
		typeI64: {opI64Const, 0, opI64Or}, typeF64: {opI64ReinterpretF64},
	}
	outOfInteger = map[byte][]byte{typeF32: {opF32ReinterpretI32}, typeF64: {opF64ReinterpretI64}}
)
