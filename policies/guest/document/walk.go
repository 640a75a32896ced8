package document

import "math/bits"

// walk goes over the members of an object or the elements of a list, one after the other. It
// steps over objects and lists whatever they hold.
type walk struct {
	in       *table
	isObject bool
	begun    bool
	at       int // behind the one before
	end      int // where the bracket closes, beyond which no look goes
	next     int // the number of the next bracket
	name     Value
	value    Value
}

// over is a walk over an object or a list.
func over(v Value) walk {
	return walk{in: v.in, isObject: v.begins('{'), at: int(v.at) + 1, end: int(v.end) - 1, next: int(v.number) + 1}
}

// step goes to the next one and says whether there is one.
func (w *walk) step() (bool, error) {
	content, at := w.in.content, w.at
	if content[at] <= ' ' {
		at = behindBlanks(content, at)
	}
	if at == w.end {
		return false, nil
	}
	if w.begun {
		if content[at] != ',' {
			return false, wrong(content[at:], "a comma")
		}
		if at++; content[at] <= ' ' {
			at = behindBlanks(content, at)
		}
	}
	w.begun = true
	if w.isObject {
		if content[at] != '"' {
			return false, wrong(content[at:], "a name")
		}
		w.name = w.in.text(at)
		if at = int(w.name.end); content[at] <= ' ' {
			at = behindBlanks(content, at)
		}
		if content[at] != ':' {
			return false, wrong(content[at:], "a colon")
		}
		if at++; content[at] <= ' ' {
			at = behindBlanks(content, at)
		}
	}
	var err error
	if w.value, w.next, err = w.in.read(at, w.next); err != nil {
		return false, err
	}
	w.at = int(w.value.end)
	return true, nil
}

// read is the value that begins at an offset, and the number of the next bracket behind it,
// where number is that of the next one now.
func (t *table) read(at, number int) (Value, int, error) {
	switch t.content[at] {
	case '"':
		return t.text(at), number, nil
	case '{', '[':
		if number < len(t.brackets) && int(t.brackets[number].open) == at {
			b := t.brackets[number]
			if t.content[b.close] == t.content[at]+('}'-'{') {
				return Value{t, int32(at), b.close + 1, int32(number)}, int(b.next), nil
			}
		}
		return Value{}, 0, wrong(t.content[at:], "a value that ends as it begins")
	}
	end := at
	for end < len(t.content) && isOfWord(t.content[end]) {
		end++
	}
	if end == at {
		return Value{}, 0, wrong(t.content[at:], "a value")
	}
	return Value{t, int32(at), int32(end), 0}, number, nil
}

// isOfWord says whether a byte is part of a number, or of true, false and null.
func isOfWord(c byte) bool {
	switch c {
	case ',', ':', '"', '{', '}', '[', ']':
		return false
	default:
		return c > ' '
	}
}

// escaped is the number of a string that has escapes.
const escaped = 1

// text is the string that begins at an offset. It has an end, as all have.
func (t *table) text(begin int) Value {
	content, number := t.content, int32(0)
	for at := begin + 1; ; {
		var word uint64
		if at+wordBytes <= len(content) {
			word = load(content, at)
		} else {
			word = lastWord(content, at)
		}
		quotes, escapes := word^each*'"', word^each*'\\'
		// Where several bytes are 0, the first mark is right.
		marks := ((quotes-each)&^quotes | (escapes-each)&^escapes) & mark
		if marks == 0 {
			at += wordBytes
			continue
		}
		at += bits.TrailingZeros64(marks) >> 3
		if content[at] == '"' {
			return Value{t, int32(begin), int32(at + 1), number}
		}
		number = escaped
		at += 2
	}
}

// behindBlanks is the offset behind blanks.
func behindBlanks(content string, at int) int {
	for at < len(content) && isBlank(content[at]) {
		at++
	}
	return at
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
