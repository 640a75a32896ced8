package policy_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// Addresses of guests that look at their descriptors.
const (
	descriptorStatus = 51_000
	descriptorList   = 51_100
	descriptorCount  = 51_200
	descriptorInput  = 52_000
	// largeInput is more than what is read of a question, unless it is a large one.
	largeInput = 1_500
)

// descriptors are the functions of WASI with which a guest looks at its file descriptors and
// changes them.
type descriptors struct{ read, status, flags, rights, closes, renumber, open uint32 }

func descriptorsOf(m *Module, read uint32) descriptors {
	function := func(name string, params ...byte) uint32 {
		return m.Import("wasi_snapshot_preview1", name, m.Type(params, []byte{I32}))
	}
	return descriptors{
		read: read, status: function("fd_fdstat_get", I32, I32), flags: function("fd_fdstat_set_flags", I32, I32),
		rights: function("fd_fdstat_set_rights", I32, I64, I64), closes: function("fd_close", I32),
		renumber: function("fd_renumber", I32, I32), open: function("path_open", I32, I32, I32, I32, I32, I64, I64, I32, I32),
	}
}

// look leaves a number on the stack: 5 for the three descriptors that there are, that the
// first may be read and the second written. Whatever else there is would add to it.
func (d descriptors) look() []byte {
	code := I32Const(0)
	for descriptor := range int32(8) {
		code = slices.Concat(code, I32Const(descriptor), I32Const(descriptorStatus), Call(d.status), I32Const(0), I32Eq, I32Add)
		if descriptor < 3 { // the flags
			code = slices.Concat(code, loadByte(descriptorStatus+2), I32Add)
		}
		if descriptor < 2 { // the rights
			right := []int32{1 << 1, 1 << 6}[descriptor]
			code = slices.Concat(code, loadByte(descriptorStatus+8), I32Const(right), I32Eq, I32Add)
		}
	}
	return slices.Concat(code, d.opens(), I32Const(0), I32Eq, I32Add)
}

// opens tries to open a file and leaves the error.
func (d descriptors) opens() []byte {
	return slices.Concat(I32Const(3), I32Const(0), I32Const(descriptorStatus), I32Const(1), I32Const(1), // create it
		I64Const(-1), I64Const(-1), I32Const(0), I32Const(descriptorCount), Call(d.open))
}

// tamper does to the descriptors whatever can be done.
func (d descriptors) tamper() []byte {
	code := append(d.opens(), Drop...)
	for descriptor := range int32(3) {
		code = slices.Concat(code,
			I32Const(descriptor), I32Const(1|4), Call(d.flags), Drop, // append, do not block
			I32Const(descriptor), I64Const(0), I64Const(0), Call(d.rights), Drop,
			I32Const(descriptor), I32Const((descriptor+1)%3), Call(d.renumber), Drop,
			I32Const(descriptor), I32Const(descriptor+4), Call(d.renumber), Drop)
	}
	for descriptor := range int32(8) {
		code = slices.Concat(code, I32Const(descriptor), Call(d.closes), Drop)
	}
	return code
}

// input reads of the standard input once and leaves how many bytes that were.
func (d descriptors) input(m *Module) []byte {
	list := binary.LittleEndian.AppendUint32(nil, descriptorInput)
	m.Data(descriptorList, binary.LittleEndian.AppendUint32(list, largeInput))
	return slices.Concat(I32Const(0), I32Const(descriptorList), I32Const(1), I32Const(descriptorCount), Call(d.read), Drop,
		I32Const(descriptorCount), I32Load)
}

// lookingGuest is a leaking guest that shows what it sees of its descriptors, and that its
// standard input is empty, and then changes them.
func lookingGuest(more func(g *Guest, d descriptors) []byte) []byte {
	return leaking(func(g *Guest) []byte {
		d := descriptorsOf(g.Module, g.Import("wasi_snapshot_preview1", "fd_read", g.Type(slices.Repeat([]byte{I32}, 4), []byte{I32})))
		begin := more(g, d)
		return slices.Concat(begin, d.look(), d.input(g.Module), I32Add, d.tamper(),
			I32Const(1900), LocalGet(1), I32LtU, If(Unreachable)) // more than a made-up request
	})
}

// lookingCommand is a command that shows the same as a guest, with 1 more for a question that
// is there from its beginning. It leaves most of a large one unread and ends then as told.
func lookingCommand(before func(d descriptors) []byte, end func(c *Command) []byte) []byte {
	return commandOf(func(c *Command) []byte {
		d := descriptorsOf(c.Module, c.Read)
		const answer = `{"accepted":false,"message":"0"}`
		c.Data(leakAnswer, []byte(answer))
		const list = descriptorList + 8
		at := binary.LittleEndian.AppendUint32(nil, leakAnswer)
		c.Data(list, binary.LittleEndian.AppendUint32(at, uint32(len(answer))))
		length := c.Global(0)
		return slices.Concat(
			before(d), d.input(c.Module), GlobalSet(length),
			I32Const(leakDigit), I32Const(leakDigit), I32Load8,
			d.look(), loadByte(descriptorInput), I32Const('{'), I32Eq, I32Add, I32Add, I32Store8,
			d.tamper(),
			I32Const(1), I32Const(list), I32Const(1), I32Const(descriptorCount), Call(c.Write), Drop,
			GlobalGet(length), I32Const(largeInput), I32Eq, If(end(c)))
	})
}

// What a guest does to its file descriptors, and what it leaves of its standard input, no
// later call sees; nor can it keep its own answer from being read.
func TestNothingIsLeftOfDescriptors(t *testing.T) {
	nothing := func(*Guest, descriptors) []byte { return nil }
	atOnce := func(descriptors) []byte { return nil }
	returns := func(*Command) []byte { return nil }
	tests := map[string]struct {
		binary []byte
		digit  string
	}{
		"a guest": {lookingGuest(nothing), "5"},
		"a guest that changes them as it begins": {lookingGuest(func(g *Guest, d descriptors) []byte {
			g.OnInit("_initialize", d.tamper())
			return nil
		}), "5"},
		"a command": {lookingCommand(atOnce, returns), "6"},
		"a command that changes them before it reads": {lookingCommand(descriptors.tamper, returns), "6"},
		"a command that exits":                        {lookingCommand(atOnce, func(c *Command) []byte { return append(I32Const(0), Call(c.Exit)...) }), "6"},
		"a command that fails":                        {lookingCommand(atOnce, func(c *Command) []byte { return append(I32Const(1), Call(c.Exit)...) }), "6"},
		"a command that traps":                        {lookingCommand(atOnce, func(*Command) []byte { return Unreachable }), "6"},
		"a command without end":                       {lookingCommand(atOnce, func(*Command) []byte { return Loop(Br(0)) }), "6"},
	}
	for _, isolation := range isolations {
		engine := newEngine(t, policy.Config{Isolation: isolation})
		for name, tc := range tests {
			t.Run(string(isolation)+"/"+name, func(t *testing.T) {
				checkNoTrace(t, engine, tc.binary, tc.digit)
			})
		}
		checkTaken(t, engine, isolation, 8*len(tests))
	}
}

// The same for guests that are warm, with what was done to them in made-up requests.
func TestNothingIsLeftOfDescriptorsOfWarmGuests(t *testing.T) {
	engine := newEngine(t, policy.Config{})
	module := compile(t, engine, lookingGuest(func(g *Guest, _ descriptors) []byte { return lazyStart(g) }))
	warm := isolate(t, module, policy.Call{}, policy.IsolationWarm)
	// Each of the made-up requests, whose number is measured, has added what it saw.
	want := messageOf(t, warm, policy.Call{}, `{}`)
	if sum := want[0] - '0'; sum <= 5 || sum%5 != 0 {
		t.Errorf("made-up requests and one more have seen %d in all, want 5 in each", sum)
	}
	for range 4 {
		checkDigit(t, warm, want)
		checkDigit(t, warm, want)
		askALot(t, warm)
	}
	checkTaken(t, engine, policy.IsolationWarm, 9)
}

// checkTaken wants all calls to have met instances of one kind, and so many at least: the time
// of askALot may be up before it has one.
func checkTaken(t *testing.T, engine *policy.Engine, isolation policy.Isolation, least int) {
	t.Helper()
	taken := engine.Stats().Taken
	if got := taken[isolation]; got < uint64(least) {
		t.Errorf("%d instances were %s, want %d or more", got, isolation, least)
	}
	delete(taken, isolation)
	for other, count := range taken {
		if count > 0 {
			t.Errorf("%d instances were %s, want all to be %s", count, other, isolation)
		}
	}
}
