package report

import (
	"regexp"
	"strings"
	"unicode"
)

// Bounds of text that comes from policies and their servers, in bytes.
const (
	// maxMessage bounds the message of a result.
	maxMessage = 1 << 10
	// maxCategory bounds the category that a policy names for itself.
	maxCategory = 128
)

// escapes are the sequences that move the cursor of a terminal, colour it, or set its title
// (ECMA-48: control sequences and operating system commands that end).
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" + "|(?:\x1b\\]|\u009d)[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)")

// clean makes one line of text that somebody else wrote, harmless where it is shown: in a
// terminal, a log, or beside text of others. Line breaks and tabs become a blank; escape
// sequences, other control characters and those that turn the direction of text go; bytes
// that are no UTF-8 become U+FFFD. Cleaning twice changes nothing more.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !strings.ContainsFunc(text, func(r rune) bool { return isForbidden(r) || isBreak(r) }) {
		return text
	}
	text = escapes.ReplaceAllString(text, "")
	var line strings.Builder
	for piece := range strings.FieldsFuncSeq(text, isBreak) {
		piece = strings.Map(func(r rune) rune {
			if isForbidden(r) {
				return -1
			}
			return r
		}, piece)
		if line.Len() > 0 && piece != "" {
			line.WriteByte(' ')
		}
		line.WriteString(piece)
	}
	return line.String()
}

// isBreak says whether a character ends a line or a column.
func isBreak(r rune) bool {
	return unicode.IsControl(r) && unicode.IsSpace(r) || r == '\u2028' || r == '\u2029'
}

// isForbidden says whether a character is one to leave out. Joiners are none: scripts and
// emoji need them.
func isForbidden(r rune) bool {
	const byteOrderMark = '\uFEFF'
	return unicode.IsControl(r) && !unicode.IsSpace(r) || unicode.Is(unicode.Bidi_Control, r) || r == byteOrderMark
}

// ellipsis is at the end of text that was cut.
const ellipsis = " [...]"

// tell cleans text and cuts it to at most so many bytes. Of text that is far too long it
// looks at the beginning only: how much work that makes is not for others to say.
func tell(text string, most int) string {
	const fold = 8
	if len(text) <= fold*most {
		return shorten(clean(text), most)
	}
	told := clean(text[:fold*most])
	return strings.ToValidUTF8(told[:min(len(told), most-len(ellipsis))], "") + ellipsis
}

// shorten cuts text to at most so many bytes, at a character, and says so.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(ellipsis)], "") + ellipsis
}
