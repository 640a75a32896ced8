package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// scanner reads a JSON text once, from begin to end, and checks every byte of it. It
// exists because a request goes on to a policy as part of a larger text: what is passed
// on must be exactly one JSON value, and decoding it into Go values only to make sure
// would cost more than the policy.
type scanner struct {
	text []byte
	at   int
	// depth counts the objects that members is in the midst of.
	depth int
}

// maxNesting is how many objects and lists may stand in one another in a body, the outermost
// counted. It is what upstream's JSON reader allows; policies read JSON with such readers.
const maxNesting = 127

const textTooDeep = "recursion limit exceeded" // upstream's words

// syntaxError says where a text is no JSON.
type syntaxError struct {
	at   int
	text string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.text, e.at) }

// shapeError says in what a JSON text is not what it should be.
type shapeError struct{ text string }

func (e *shapeError) Error() string { return e.text }

func (s *scanner) broken(text string) error { return &syntaxError{at: s.at, text: text} }

// newScanner checks the encoding of a text.
func newScanner(text []byte) (*scanner, error) {
	if !utf8.Valid(text) {
		return nil, &syntaxError{text: "invalid UTF-8"}
	}
	return &scanner{text: text}, nil
}

// peek is the next byte that is not white space; 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// end is an error when anything is left.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.text) {
		return s.broken("trailing characters")
	}
	return nil
}

// take reads the one byte that must come next.
func (s *scanner) take(want byte) error {
	if s.peek() != want {
		return s.broken(fmt.Sprintf("expected %q", want))
	}
	s.at++
	return nil
}

// members reads an object. For each member visit must read the value. A key that stands
// twice is refused: two readers of the text could disagree on which one counts.
func (s *scanner) members(visit func(key string) error) error {
	if s.peek() != '{' {
		return s.want("an object")
	}
	if s.depth == maxNesting {
		return s.broken(textTooDeep)
	}
	s.depth++
	defer func() { s.depth-- }()
	s.at++
	if s.peek() == '}' {
		s.at++
		return nil
	}
	var seen names
	for {
		quoted, err := s.key()
		if err != nil {
			return err
		}
		key := unquote(quoted)
		if !seen.add(key) {
			return &shapeError{fmt.Sprintf("duplicate field `%s`", key)}
		}
		if err := visit(key); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.at++
			continue
		}
		return s.take('}')
	}
}

// names are a set of member names. Objects that are read so have a handful, which are found
// sooner one by one; those of a client that sends a million are not.
type names struct {
	few   [24]string
	count int
	many  map[string]bool
}

// add says whether the name was not there yet.
func (n *names) add(name string) bool {
	if n.many == nil && slices.Contains(n.few[:n.count], name) || n.many[name] {
		return false
	}
	if n.count < len(n.few) {
		n.few[n.count] = name
		n.count++
		return true
	}
	if n.many == nil {
		n.many = make(map[string]bool, 2*len(n.few))
		for _, known := range n.few {
			n.many[known] = true
		}
	}
	n.many[name] = true
	return true
}

// key reads a member's name and the colon, and gives the name with its quotes.
func (s *scanner) key() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.broken("expected a member name")
	}
	quoted, err := s.quoted()
	if err != nil {
		return nil, err
	}
	return quoted, s.take(':')
}

// value reads any one value and gives its bytes.
func (s *scanner) value() (json.RawMessage, error) {
	s.peek()
	start := s.at
	if err := s.skip(); err != nil {
		return nil, err
	}
	return s.text[start:s.at:s.at], nil
}

// str reads a string, or null for "".
func (s *scanner) str() (string, error) {
	switch s.peek() {
	case '"':
		raw, err := s.quoted()
		return unquote(raw), err
	case 'n':
		return "", s.literal("null")
	default:
		return "", s.want("a string")
	}
}

// want is the error for a value of another kind, if it is one, and not a broken text.
func (s *scanner) want(kind string) error {
	if err := s.skip(); err != nil {
		return err
	}
	return &shapeError{fmt.Sprintf("expected %s before byte %d", kind, s.at)}
}

// skip reads one value of any kind, however deep, without recursion.
func (s *scanner) skip() error {
	var open []byte // the brackets that are open
	for {
		opened, err := s.opening(&open)
		if err != nil {
			return err
		}
		if opened {
			continue // the first value inside comes next
		}
		if done, err := s.closing(&open); done || err != nil {
			return err
		}
	}
}

// opening reads a scalar, or the begin of a container; it says whether a value inside
// that container comes next.
func (s *scanner) opening(open *[]byte) (bool, error) {
	switch c := s.peek(); c {
	case '{', '[':
		if s.depth+len(*open) == maxNesting {
			return false, s.broken(textTooDeep)
		}
		s.at++
		if s.peek() == c+2 { // the closing bracket is two after the opening one in ASCII
			s.at++
			return false, nil
		}
		*open = append(*open, c)
		if c == '{' {
			_, err := s.key()
			return true, err
		}
		return true, nil
	case '"':
		_, err := s.quoted()
		return false, err
	case 't':
		return false, s.literal("true")
	case 'f':
		return false, s.literal("false")
	case 'n':
		return false, s.literal("null")
	default:
		return false, s.number()
	}
}

// closing reads what follows a value: a comma, or closing brackets. It says whether the
// outermost value has ended.
func (s *scanner) closing(open *[]byte) (bool, error) {
	for len(*open) > 0 {
		inner := (*open)[len(*open)-1]
		switch s.peek() {
		case ',':
			s.at++
			if inner == '{' {
				_, err := s.key()
				return false, err
			}
			return false, nil
		case inner + 2:
			s.at++
			*open = (*open)[:len(*open)-1]
		default:
			return false, s.broken("expected a comma or a closing bracket")
		}
	}
	return true, nil
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return s.broken("expected a value")
	}
	s.at += len(word)
	return nil
}

// quoted reads a string and gives it with its quotes.
func (s *scanner) quoted() ([]byte, error) {
	start, text := s.at, s.text
	for at := start + 1; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			s.at = at + 1
			return text[start:s.at], nil
		case c < 0x20:
			s.at = at
			return nil, s.broken("control character in a string")
		case c == '\\':
			s.at = at
			if err := s.escape(); err != nil {
				return nil, err
			}
			at = s.at - 1
		}
	}
	s.at = len(text)
	return nil, s.broken("unterminated string")
}

func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.text) {
		return s.broken("unterminated string")
	}
	if c := s.text[s.at]; c != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), c) < 0 {
			return s.broken("invalid escape")
		}
		s.at++
		return nil
	}
	s.at++
	for range 4 {
		if s.at >= len(s.text) || !isHex(s.text[s.at]) {
			return s.broken("invalid escape")
		}
		s.at++
	}
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) number() error {
	if s.at < len(s.text) && s.text[s.at] == '-' {
		s.at++
	}
	whole := s.at
	if s.digits() == 0 {
		return s.broken("expected a value")
	}
	if s.text[whole] == '0' && s.at > whole+1 {
		return s.broken("invalid number")
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if s.digits() == 0 {
			return s.broken("invalid number")
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		if s.digits() == 0 {
			return s.broken("invalid number")
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}

// unquote gives the text of a quoted string that has been checked.
func unquote(quoted []byte) string {
	if len(quoted) < 2 {
		return ""
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return ""
	}
	return text
}

// isSyntax says whether an error is about a text that is no JSON.
func isSyntax(err error) bool {
	var syntax *syntaxError
	return errors.As(err, &syntax)
}
