package document

import "math/bits"

// value is behind the value that begins at an offset, with the number that a Value of it has and
// that of the next bracket behind it, where next is that of the next one now. Where no value
// begins, its end is its offset.
func (t *table) value(at, next int) (end, number, behind int) {
	content := t.content
	switch content[at] {
	case '"':
		end, number = stringEnd(content, at)
	case '{', '[':
		b := &t.brackets[next]
		if content[b.close] != content[at]+('}'-'{') {
			return at, 0, 0
		}
		return int(b.close) + 1, next, int(b.next)
	default:
		end = wordEnd(content, at)
	}
	return end, number, next
}

// aValue is what is wanted where there is none.
const aValue = "a value, which ends as it begins"

// escaped is the number of a string that has escapes.
const escaped = 1

// stringEnd is behind the string that begins at an offset, which has an end, as all have. The
// number is that of its Value.
func stringEnd(content string, at int) (end, number int) {
	for at++; ; {
		var word uint64
		if at+wordBytes <= len(content) {
			word = load(content, at)
		} else {
			word = lastWord(content, at)
		}
		// Of several marks that such a difference makes, the first is right.
		quotes, escapes := word^each*'"', word^each*'\\'
		marks := ((quotes-each)&^quotes | (escapes-each)&^escapes) & mark
		if marks == 0 {
			at += wordBytes
			continue
		}
		at += bits.TrailingZeros64(marks) >> 3
		if content[at] == '"' {
			return at + 1, number
		}
		number = escaped
		at += 2
	}
}

// wordEnd is behind the number, or the true, false or null, that begins at an offset.
func wordEnd(content string, at int) int {
	for ; at < len(content); at += wordBytes {
		var word uint64
		if at+wordBytes <= len(content) {
			word = load(content, at)
		} else {
			word = lastWord(content, at)
		}
		commas, colons, quotes, brackets := word^each*',', word^each*':', word^each*'"', word&^(each*unlike)^each*alike
		marks := ((commas-each)&^commas | (colons-each)&^colons | (quotes-each)&^quotes | (brackets-each)&^brackets | (word-each*('!'))&^word) & mark
		if marks != 0 {
			return at + bits.TrailingZeros64(marks)>>3
		}
	}
	return len(content)
}

// behindBlanks is the offset behind blanks. There are hardly any in what is sent, and where this is
// inlined it costs more than where it is called.
//
//go:noinline
func behindBlanks(content string, at int) int {
	for at < len(content) && isBlank(content[at]) {
		at++
	}
	return at
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
