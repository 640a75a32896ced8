package document

import "math/bits"

// Bytes are looked at eight at a time, as a number of which the first is the lowest. A mark is
// the highest bit of a byte. A byte of ASCII is 0 where adding 127 does not mark it.
const (
	wordBytes = 8
	each      = 0x0101010101010101 // times a byte: eight of it
	most      = each * 0x7f
	mark      = each * 0x80
)

// Brackets are alike but for the bits that say whether they are round or square and whether
// they open or close. Some letters are alike, too, which JSON has in strings only: elsewhere
// they close what is open, and whoever comes to that finds that it does not end as it begins.
const (
	unlike  = 0x26
	alike   = '{' &^ unlike
	way     = 0x06
	opening = '{' & way
)

// find finds all brackets. Of JSON it knows nothing but them and strings.
func (t *table) find() error {
	t.brackets = t.brackets[:cap(t.brackets)]
	s := search{around: none}
	for {
		s.run(t.content, t.brackets)
		switch {
		case s.around == lost:
			return wrong(t.content[s.at-wordBytes+bits.TrailingZeros64(s.marks)/8:], "something that opened before")
		case s.marks != 0:
			t.brackets = append(t.brackets, make([]bracket, len(t.brackets)+wordBytes)...)
		case s.at < len(t.content):
			s.step(t.content)
		case s.within != 0 || s.around != none:
			return errEnds
		default:
			t.brackets = t.brackets[:s.count]
			return nil
		}
	}
}

// lost is the number of the bracket around another where one closed that did not open.
const lost = -2

// search is how far brackets have been found.
type search struct {
	at     int    // what is behind the word
	word   uint64 // in which marks are to be looked at
	marks  uint64
	within uint64 // each where a string has begun before at, else 0
	count  int    // of brackets
	around int    // the number of the innermost that is open
}

// run finds brackets until it comes to one for which there is no room, or which closes nothing;
// to two backslashes side by side; or to the last word. Go's compiler makes WebAssembly of it that
// has an indirect jump for each branch that is taken, and that keeps variables in memory where
// there are calls, or more of them than there are here.
func (s *search) run(content string, brackets []bracket) {
	at, word, marks, within, count, around := s.at, s.word, s.marks, s.within, s.count, s.around
	last := len(content) - wordBytes
loop:
	for {
		for ; marks != 0; marks &= marks - 1 {
			shift := bits.TrailingZeros64(marks) - 7
			offset := int32(at - wordBytes + shift>>3)
			if byte(word>>shift)&way == opening {
				if uint(count) >= uint(len(brackets)) {
					break loop
				}
				opened := &brackets[count]
				opened.open, opened.close = offset, int32(around)
				around = count
				count++
			} else {
				if uint(around) >= uint(len(brackets)) {
					around = lost
					break loop
				}
				ended := &brackets[around]
				around = int(ended.close)
				ended.close, ended.next = offset, int32(count)
			}
		}
		if at > last {
			break
		}
		word = load(content, at)
		if ((word^each*'\\')+most)&^word&mark != mark { // not ASCII, or a backslash
			word &^= bytesOf(word & mark)
			escapes := ^((word ^ each*'\\') + most) & mark
			if escapes&(escapes<<8) != 0 {
				break
			}
			if escapes>>63 != 0 { // what it escapes is of the next word, and so is it
				at, word, escapes = at-1, word<<8, escapes<<8
			}
			word &^= bytesOf(escapes << 8)
		}
		at += wordBytes
		quotes := ^((word ^ each*'"') + most) & mark >> 7
		inString := quotes*each&each ^ within // the product has the number of quotes up to each byte
		within = inString >> 56 * each
		marks = ^((word&^(each*unlike) ^ each*alike) + most) & mark &^ (inString << 7)
	}
	s.at, s.word, s.marks, s.within, s.count, s.around = at, word, marks, within, count, around
}

// bytesOf are all bits of the bytes with a mark.
func bytesOf(marks uint64) uint64 { return marks<<1 - marks>>7 }

// step takes a word byte by byte.
func (s *search) step(content string) {
	s.word = lastWord(content, s.at)
	s.at += wordBytes
	for i := 0; i < wordBytes; i++ {
		switch c := byte(s.word >> (8 * i)); {
		case c == '"':
			s.within ^= each
		case s.within == 0 && c&^unlike == alike:
			s.marks |= 0x80 << (8 * i)
		case s.within != 0 && c == '\\' && i < wordBytes-1:
			i++ // whatever that is
		case s.within != 0 && c == '\\': // with what it escapes it is of the next word
			s.at--
			s.word, s.marks = s.word<<8, s.marks<<8
		}
	}
}

// lastWord is the word at an offset, with blanks in the place of what lies behind the end.
func lastWord(content string, at int) uint64 {
	word := uint64(each * ' ')
	for i := min(at+wordBytes, len(content)) - 1; i >= at; i-- {
		word = word<<8 | uint64(content[i])
	}
	return word
}
