package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds the nesting of a value. Upstream's JSON reader stops at the same depth.
const maxDepth = 128

// splitMapping reads the outermost mapping of a YAML or JSON text and gives each value
// as JSON. A value that cannot be JSON, or whose key stands twice, is refused alone.
//
// JSON has a reader of its own beside that of YAML: it is what the operator writes, it
// is several times faster, and the surrogate pairs of JSON are no legal escapes in YAML.
func splitMapping(data []byte) (values map[string]json.RawMessage, refused map[string]error, err error) {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		return splitJSON(trimmed)
	}
	return splitYAML(data)
}

func splitJSON(data []byte) (map[string]json.RawMessage, map[string]error, error) {
	values, refused := map[string]json.RawMessage{}, map[string]error{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return nil, nil, err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, nil, err
		}
		id, _ := key.(string)
		place(values, refused, id, keyed{value: value, err: checkKeys(value)})
	}
	return values, refused, nil
}

// keyed is one value of a mapping, or why it cannot be one.
type keyed struct {
	value json.RawMessage
	err   error
}

func place(values map[string]json.RawMessage, refused map[string]error, key string, next keyed) {
	_, seen := values[key]
	_, seenRefused := refused[key]
	switch {
	case seen || seenRefused:
		delete(values, key)
		refused[key] = &EntryError{Hash: rawHash(next.value), Err: duplicateKey(key)}
	case next.err != nil:
		refused[key] = &EntryError{Hash: rawHash(next.value), Err: next.err}
	default:
		values[key] = next.value
	}
}

func duplicateKey(key string) error {
	return fmt.Errorf("key %q stands twice in one mapping", key)
}

// checkKeys refuses a JSON value in which a key stands twice in one object or that is
// nested too deeply.
func checkKeys(value json.RawMessage) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var open []map[string]bool // keys seen per level; nil for a list
	wantKey := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		default:
			if wantKey {
				keys, key := open[len(open)-1], token.(string)
				if keys[key] {
					return duplicateKey(key)
				}
				keys[key] = true
				wantKey = false
				continue
			}
		}
		if len(open) > maxDepth {
			return errTooDeep
		}
		wantKey = len(open) > 0 && open[len(open)-1] != nil
	}
}

var errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

func splitYAML(data []byte) (map[string]json.RawMessage, map[string]error, error) {
	root, err := parseYAML(data)
	if err != nil {
		return nil, nil, err
	}
	if root.Kind != yaml.MappingNode {
		return nil, nil, fmt.Errorf("line %d: got %s, want a mapping", root.Line, kindName(root))
	}
	values, refused := map[string]json.RawMessage{}, map[string]error{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, err := keyText(root.Content[i])
		if err != nil {
			return nil, nil, err
		}
		value, err := yamlToJSON(root.Content[i+1])
		place(values, refused, key, keyed{value: value, err: err})
	}
	return values, refused, nil
}

// parseYAML gives the root node of the only document of a YAML text.
func parseYAML(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("the text is empty; write {} for none")
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	if len(document.Content) != 1 {
		return nil, errors.New("the text is empty; write {} for none")
	}
	return document.Content[0], nil
}
