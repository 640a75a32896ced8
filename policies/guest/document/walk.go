package document

// walk goes over the members of an object or the elements of a list, one after the other. It
// steps over objects and lists whatever they hold.
type walk struct {
	in      *table
	content string
	at      int // behind the one before; where the bracket opens, before the first
	open    int // where the bracket opens
	end     int // where it closes, beyond which no look goes
	next    int // the number of the next bracket

	name  token // of a member
	value token
}

// token is where something begins, what is behind it, and the number that a Value of it has.
type token struct{ at, end, number int }

// begin begins a walk over an object or a list.
func (w *walk) begin(v Value) {
	w.in, w.content = v.in, v.in.content
	w.at, w.open, w.end, w.next = int(v.at), int(v.at), int(v.end)-1, int(v.number)+1
}

// member goes to the next member of an object whose name the filter lets through, and says
// whether there is one. As few branches as possible are taken on the way: each costs Go's
// WebAssembly an indirect jump. What is not usual is elsewhere.
func (w *walk) member(names filter) (bool, error) {
	content, at, next := w.content, w.at, w.next
	for {
		if content[at] == ',' && content[at+1] == '"' {
			at++
		} else {
			name, err := w.separator(at)
			if err != nil || name == w.end {
				return false, err
			}
			if at = name; content[at] != '"' {
				return false, wrong(content[at:], "a name")
			}
		}
		nameEnd, number := stringEnd(content, at)
		from := nameEnd + 1
		if content[nameEnd] != ':' || content[from] <= ' ' {
			var err error
			if from, err = behindColon(content, nameEnd); err != nil {
				return false, err
			}
		}
		end, valueNumber, behind := w.in.value(from, next)
		if end == from {
			return false, wrong(content[from:], aValue)
		}
		if number == escaped || names.mayHave(content[at+1], nameEnd-at-2) {
			w.name, w.value = token{at, nameEnd, number}, token{from, end, valueNumber}
			w.at, w.next = end, behind
			return true, nil
		}
		at, next = end, behind
	}
}

// element goes to the next element of a list, and says whether there is one.
func (w *walk) element() (bool, error) {
	at, err := w.separator(w.at)
	if err != nil || at == w.end {
		return false, err
	}
	end, number, next := w.in.value(at, w.next)
	if end == at {
		return false, wrong(w.content[at:], aValue)
	}
	w.value, w.at, w.next = token{at, end, number}, end, next
	return true, nil
}

// separator is where the next member or element begins, or the end where there is none.
func (w *walk) separator(at int) (int, error) {
	content := w.content
	if at == w.open {
		return behindBlanks(content, at+1), nil
	}
	if at = behindBlanks(content, at); at == w.end {
		return at, nil
	}
	if content[at] != ',' {
		return 0, wrong(content[at:], "a comma")
	}
	if at = behindBlanks(content, at+1); at == w.end {
		return 0, wrong(content[at:], "something behind the comma")
	}
	return at, nil
}

// behindColon is where the value of a member begins, behind whose name is an offset.
func behindColon(content string, at int) (int, error) {
	if at = behindBlanks(content, at); content[at] != ':' {
		return 0, wrong(content[at:], "a colon")
	}
	return behindBlanks(content, at+1), nil
}

// isNamed says whether the member has a name.
func (w *walk) isNamed(name string) bool {
	if w.name.number != escaped {
		return w.content[w.name.at+1:w.name.end-1] == name
	}
	unescaped, valid := unescape(w.content[w.name.at+1 : w.name.end-1])
	return valid && unescaped == name
}

// current is the value that was stepped to.
func (w *walk) current() Value {
	return Value{w.in, int32(w.value.at), int32(w.value.end), int32(w.value.number)}
}

// currentName is the name of the member.
func (w *walk) currentName() (string, error) {
	return text(Value{w.in, int32(w.name.at), int32(w.name.end), int32(w.name.number)})
}

// filter lets some names through, and now and then another: it knows of each the first byte and
// the length, on a few bits.
type filter uint64

// everyName lets all through.
const everyName = ^filter(0)

func filterOf(names ...string) filter {
	var f filter
	for _, name := range names {
		if name == "" {
			return everyName
		}
		f |= 1 << nameBit(name[0], len(name))
	}
	return f
}

func (f filter) mayHave(first byte, length int) bool { return f>>nameBit(first, length)&1 != 0 }

func nameBit(first byte, length int) uint { return (uint(first) + 5*uint(length)) % 64 }
