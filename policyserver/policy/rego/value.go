package rego

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxDepth bounds the nesting of a value: those who read it recurse.
const maxDepth = 512

// maxExponentDigits bounds the exponent of a number: who computes with 1e999999999 may
// well write it out.
const maxExponentDigits = 4

var errDepth = fmt.Errorf("value is nested deeper than %d", maxDepth)

// parse reads a value as opa_value_dump writes it: JSON with sets ({1,2} and set()) and
// with keys of any type.
func parse(text []byte) (*ast.Term, error) {
	p := parser{text: text}
	term, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(text) {
		return nil, p.unexpected()
	}
	return term, nil
}

type parser struct {
	text []byte
	pos  int
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// next is the next byte that is not space, 0 at the end.
func (p *parser) next() byte {
	if p.space(); p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *parser) skip(c byte) bool {
	if p.next() != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) word(word string) bool {
	if len(p.text)-p.pos < len(word) || string(p.text[p.pos:p.pos+len(word)]) != word {
		return false
	}
	p.pos += len(word)
	return true
}

func (p *parser) unexpected() error {
	if p.pos >= len(p.text) {
		return errors.New("value ends too early")
	}
	return fmt.Errorf("unexpected %q in a value at offset %d", p.text[p.pos], p.pos)
}

func (p *parser) value(depth int) (*ast.Term, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch c := p.next(); {
	case c == '"':
		text, err := p.quoted()
		return ast.StringTerm(text), err
	case c == '-' || c >= '0' && c <= '9':
		number, err := p.number()
		return ast.NumberTerm(number), err
	case c == '[':
		p.pos++
		items, err := p.items(']', depth)
		return ast.ArrayTerm(items...), err
	case c == '{':
		p.pos++
		return p.braces(depth)
	case p.word("null"):
		return ast.NullTerm(), nil
	case p.word("true"):
		return ast.BooleanTerm(true), nil
	case p.word("false"):
		return ast.BooleanTerm(false), nil
	case p.word("set()"):
		return ast.SetTerm(), nil
	default:
		return nil, p.unexpected()
	}
}

// items are values with commas between them, up to an end.
func (p *parser) items(end byte, depth int) ([]*ast.Term, error) {
	var items []*ast.Term
	if p.skip(end) {
		return nil, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		if p.skip(end) {
			return items, nil
		}
		if !p.skip(',') {
			return nil, p.unexpected()
		}
	}
}

// braces is an object or a set, behind the opening brace.
func (p *parser) braces(depth int) (*ast.Term, error) {
	if p.skip('}') {
		return ast.ObjectTerm(), nil
	}
	first, err := p.value(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.skip(':') {
		return p.object(first, depth)
	}
	items := []*ast.Term{first}
	if p.skip(',') {
		rest, err := p.items('}', depth)
		if err != nil {
			return nil, err
		}
		return ast.SetTerm(append(items, rest...)...), nil
	}
	if !p.skip('}') {
		return nil, p.unexpected()
	}
	return ast.SetTerm(items...), nil
}

// object is the rest of an object, behind the colon of its first key.
func (p *parser) object(key *ast.Term, depth int) (*ast.Term, error) {
	object := ast.NewObject()
	for {
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		object.Insert(key, value)
		if p.skip('}') {
			return ast.NewTerm(object), nil
		}
		if !p.skip(',') {
			return nil, p.unexpected()
		}
		if key, err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if !p.skip(':') {
			return nil, p.unexpected()
		}
	}
}

func (p *parser) quoted() (string, error) {
	begin, plain := p.pos, true
	for i := begin + 1; i < len(p.text); i++ {
		switch p.text[i] {
		case '\\':
			plain = false
			i++
		case '"':
			p.pos = i + 1
			return unquote(p.text[begin:p.pos], plain)
		}
	}
	return "", errors.New("string does not end")
}

func unquote(quoted []byte, plain bool) (string, error) {
	if plain && utf8.Valid(quoted) {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", fmt.Errorf("string is malformed: %w", err)
	}
	return text, nil
}

// number reads a number and keeps it as it is written.
func (p *parser) number() (json.Number, error) {
	begin := p.pos
	for p.pos < len(p.text) && strings.IndexByte("0123456789-+.eE", p.text[p.pos]) >= 0 {
		p.pos++
	}
	number := string(p.text[begin:p.pos])
	if !json.Valid(p.text[begin:p.pos]) {
		return "", fmt.Errorf("number %.40q is malformed", number)
	}
	if letter := strings.IndexAny(number, "eE"); letter >= 0 {
		if digits := strings.Trim(number[letter+1:], "+-"); len(digits) > maxExponentDigits {
			return "", fmt.Errorf("number %.40q is too large", number)
		}
	}
	return json.Number(number), nil
}

// encoder writes values as opa_value_parse reads them; without sets as opa_json_parse does,
// with arrays in their place.
type encoder struct {
	out   []byte
	limit int
	sets  bool
}

// encode writes a value of at most limit bytes. The bound is looked at on the way: a value
// that shares its parts can be much larger written than held.
func (e *encoder) encode(value ast.Value, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if len(e.out) > e.limit {
		return fmt.Errorf("value has more than %d bytes", e.limit)
	}
	switch value := value.(type) {
	case ast.Null:
		e.out = append(e.out, "null"...)
	case ast.Boolean:
		e.out = strconv.AppendBool(e.out, bool(value))
	case ast.Number:
		return e.number(string(value))
	case ast.String:
		return e.string(string(value))
	case *ast.Array:
		return e.list('[', ']', value.Foreach, depth)
	case ast.Set:
		return e.set(value, depth)
	case ast.Object:
		return e.object(value, depth)
	default:
		return fmt.Errorf("value of type %T cannot be passed on", value)
	}
	return nil
}

// number writes a number. Builtins make some that JSON does not know: to_number("007").
func (e *encoder) number(text string) error {
	if json.Valid([]byte(text)) {
		e.out = append(e.out, text...)
		return nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		return fmt.Errorf("number %.40q cannot be passed on", text)
	}
	e.out = strconv.AppendFloat(e.out, value, 'g', -1, 64)
	return nil
}

func (e *encoder) string(text string) error {
	quoted, err := json.Marshal(text)
	e.out = append(e.out, quoted...)
	return err
}

func (e *encoder) set(set ast.Set, depth int) error {
	if !e.sets {
		return e.list('[', ']', set.Foreach, depth)
	}
	if set.Len() == 0 {
		e.out = append(e.out, "set()"...)
		return nil
	}
	return e.list('{', '}', set.Foreach, depth)
}

func (e *encoder) list(begin, end byte, each func(func(*ast.Term)), depth int) (err error) {
	e.out = append(e.out, begin)
	first := true
	each(func(item *ast.Term) {
		if err != nil {
			return
		}
		if !first {
			e.out = append(e.out, ',')
		}
		first = false
		err = e.encode(item.Value, depth+1)
	})
	e.out = append(e.out, end)
	return err
}

func (e *encoder) object(object ast.Object, depth int) (err error) {
	e.out = append(e.out, '{')
	first := true
	object.Foreach(func(key, value *ast.Term) {
		if err != nil {
			return
		}
		if !first {
			e.out = append(e.out, ',')
		}
		first = false
		if err = e.key(key, depth+1); err != nil {
			return
		}
		e.out = append(e.out, ':')
		err = e.encode(value.Value, depth+1)
	})
	e.out = append(e.out, '}')
	return err
}

// key writes an object's key; where keys must be strings, others become one.
func (e *encoder) key(key *ast.Term, depth int) error {
	if _, text := key.Value.(ast.String); text || e.sets {
		return e.encode(key.Value, depth)
	}
	return e.string(key.Value.String())
}
