package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document, as upstream's decoder does.
const maxDepth = 128

// decodeObject decodes the members of a JSON object into the places that are named. It is
// stricter than json.Unmarshal: keys match exactly, no key stands twice, the text is valid
// UTF-8, and nothing follows the object.
func decodeObject(document []byte, places map[string]any) error {
	if !utf8.Valid(document) {
		return errors.New("not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	if err := expectDelim(decoder, '{'); err != nil {
		return err
	}
	seen := make(map[string]bool, len(places))
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return syntax(err)
		}
		key, _ := token.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return syntax(err)
		}
		place, known := places[key]
		if !known {
			continue
		}
		if seen[key] {
			return fmt.Errorf("%s: stands twice", key)
		}
		seen[key] = true
		if err := decodeMember(key, value, place); err != nil {
			return err
		}
	}
	if err := expectDelim(decoder, '}'); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
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

func expectDelim(decoder *json.Decoder, want json.Delim) error {
	token, err := decoder.Token()
	if err != nil {
		return syntax(err)
	}
	if token != want {
		return errors.New("not a JSON object")
	}
	return nil
}

func syntax(err error) error {
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
