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

// prune leaves what the mask names, and always apiVersion, kind and metadata.
func (m *mask) prune(object []byte) ([]byte, error) {
	if m == nil {
		return object, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	pruned := map[string]any{}
	for name, value := range members {
		switch {
		case name == "apiVersion" || name == "kind" || name == "metadata":
			pruned[name] = value
		case m.members[name] != nil:
			pruned[name] = m.members[name].left(value)
		}
	}
	return json.Marshal(pruned)
}

// left is what is left of a value. Lists are transparent: a path goes on in their items.
func (m *mask) left(value any) any {
	if len(m.members) == 0 {
		return value
	}
	switch value := value.(type) {
	case []any:
		items := make([]any, 0, len(value))
		for _, item := range value {
			items = append(items, m.left(item))
		}
		return items
	case map[string]any:
		members := map[string]any{}
		for name, member := range value {
			if next := m.members[name]; next != nil {
				members[name] = next.left(member)
			}
		}
		return members
	default:
		return value
	}
}
