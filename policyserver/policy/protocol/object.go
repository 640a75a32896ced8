package protocol

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxDepth bounds the nesting of a document, as upstream's decoder does.
const maxDepth = 128

// decodeObject decodes the members of a JSON object into the places that are named. It is
// stricter than json.Unmarshal: keys match exactly, no key stands twice, the text is valid
// UTF-8, and nothing follows the object.
func decodeObject(document []byte, places map[string]any) (err error) {
	if !utf8.Valid(document) {
		return errors.New("not valid UTF-8")
	}
	if !json.Valid(document) {
		return broken(document)
	}
	object := gjson.ParseBytes(document)
	if !object.IsObject() {
		return errNoObject
	}
	seen := make([]string, 0, len(places))
	object.ForEach(func(name, value gjson.Result) bool {
		key := name.String()
		place, known := places[key]
		if !known {
			return true
		}
		if slices.Contains(seen, key) {
			err = fmt.Errorf("%s: stands twice", key)
			return false
		}
		seen = append(seen, key)
		err = decodeMember(key, json.RawMessage(value.Raw), place)
		return err == nil
	})
	return err
}

var errNoObject = errors.New("not a JSON object")

// broken says what keeps a text from being one JSON object.
func broken(document []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(document))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return cmp.Or(syntax(err), errNoObject)
	}
	for decoder.More() {
		if _, err := decoder.Token(); err != nil {
			return syntax(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return syntax(err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return syntax(err)
	}
	return errors.New("something follows the JSON object")
}

func decodeMember(key string, value json.RawMessage, place any) error {
	if err := checkDepth(value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	err := json.Unmarshal(value, place)
	if mistake := (*json.UnmarshalTypeError)(nil); errors.As(err, &mistake) {
		return fmt.Errorf("%s: got a JSON %s, want %s", key, mistake.Value, wanted(mistake.Type.String()))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// wanted says in words what a Go type takes.
func wanted(goType string) string {
	switch goType {
	case "bool":
		return "true or false"
	case "string":
		return "a string"
	case "uint16":
		return "an integer from 0 to 65535"
	case "int32":
		return "an integer"
	case "[]json.RawMessage":
		return "a list"
	case "[]*string":
		return "a list of strings"
	case "map[string]*string":
		return "an object of strings"
	default:
		return goType
	}
}

func missing(key, want string) error {
	return fmt.Errorf("%s: missing, want %s", key, want)
}

func syntax(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("JSON ends too early")
	}
	return fmt.Errorf("not JSON: %w", err)
}

// checkDepth refuses a value that is nested too deep for those who read it after us.
func checkDepth(value json.RawMessage) error {
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
