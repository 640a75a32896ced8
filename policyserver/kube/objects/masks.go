package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// mask is a tree of the fields that are to be left in an object; nil leaves all.
type mask struct{ members map[string]*mask }

// newMask reads dotted paths. A path that names an inner node keeps all below it, unless
// another path goes on from there: upstream keeps only what the longer one names.
func newMask(paths []string) *mask {
	if len(paths) == 0 {
		return nil
	}
	root := &mask{}
	for _, path := range paths {
		node := root
		for name := range strings.SplitSeq(path, ".") {
			next := node.members[name]
			if next == nil {
				next = &mask{}
				if node.members == nil {
					node.members = map[string]*mask{}
				}
				node.members[name] = next
			}
			node = next
		}
	}
	return root
}

// prune leaves what the mask names, and always apiVersion, kind and metadata. The object is
// JSON as encoding/json writes it, and so is what is left.
func (m *mask) prune(object []byte) ([]byte, error) {
	if m == nil {
		return object, nil
	}
	return m.append(nil, object)
}

// append appends what prune leaves.
func (m *mask) append(to, object []byte) ([]byte, error) {
	if m == nil {
		return append(to, object...), nil
	}
	if len(object) == 0 || object[0] != '{' {
		return nil, fmt.Errorf("object is %.64q, want a JSON object", object)
	}
	p := pruner{rest: object, left: to}
	p.members(func(name []byte) (*mask, bool) {
		switch string(name) {
		case "apiVersion", "kind", "metadata":
			return nil, true
		default:
			next := m.members[nameOf(name)]
			return next, next != nil
		}
	})
	return p.left, nil
}

// nameOf is a member's name, which stands in quotes here.
func nameOf(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted)
	}
	var name string
	if json.Unmarshal(append(append([]byte{'"'}, quoted...), '"'), &name) != nil {
		return string(quoted)
	}
	return name
}

// pruner copies parts of a JSON value, which has no blanks between its tokens.
type pruner struct{ rest, left []byte }

// value copies what the mask leaves of the next value. Lists are transparent: a path goes on
// in their items.
func (p *pruner) value(m *mask) {
	start := p.rest
	switch {
	case m == nil || len(m.members) == 0:
		p.skip()
		p.left = append(p.left, start[:len(start)-len(p.rest)]...)
	case p.rest[0] == '[':
		p.items(m)
	case p.rest[0] == '{':
		p.members(func(name []byte) (*mask, bool) {
			next := m.members[nameOf(name)]
			return next, next != nil
		})
	default:
		p.value(nil)
	}
}

func (p *pruner) items(m *mask) {
	p.copy()
	for p.rest[0] != ']' {
		if p.rest[0] == ',' {
			p.copy()
		}
		p.value(m)
	}
	p.copy()
}

// members copies those members of the next value, an object, that are chosen by their names.
func (p *pruner) members(choose func(quoted []byte) (of *mask, chosen bool)) {
	p.copy()
	first := true
	for p.rest[0] != '}' {
		if p.rest[0] == ',' {
			p.rest = p.rest[1:]
		}
		key := p.rest
		p.skip()
		key = key[:len(key)-len(p.rest)]
		p.rest = p.rest[1:] // the colon
		of, chosen := choose(key[1 : len(key)-1])
		if !chosen {
			p.skip()
			continue
		}
		if !first {
			p.left = append(p.left, ',')
		}
		first = false
		p.left = append(append(p.left, key...), ':')
		p.value(of)
	}
	p.copy()
}

// copy copies one byte.
func (p *pruner) copy() {
	p.left, p.rest = append(p.left, p.rest[0]), p.rest[1:]
}

// skip skips a value.
func (p *pruner) skip() { p.rest = p.rest[end(p.rest):] }

// end is where a value ends.
func end(value []byte) int {
	depth := 0
	for at := 0; at < len(value); at++ {
		switch value[at] {
		case '"':
			at += endOfText(value[at:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default: // of a number, a word, or between values
			if depth > 0 || at+1 < len(value) && !ends(value[at+1]) {
				continue
			}
		}
		if depth == 0 {
			return at + 1
		}
	}
	return len(value)
}

func ends(after byte) bool { return after == ',' || after == '}' || after == ']' }

// endOfText is where a text in quotes ends.
func endOfText(text []byte) int {
	for at := 1; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
}
