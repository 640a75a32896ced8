package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"
)

// errEnds has the words of encoding/json.
var errEnds = errors.New("unexpected end of JSON input")

// isWhole says whether all strings, objects and lists of a document have an end. That they are
// JSON besides takes several times as long to say.
func isWhole(document []byte) bool {
	open := 0
	for at := 0; at < len(document); at++ {
		switch document[at] {
		case '"':
			length := untilQuote(document[at+1:])
			if length < 0 {
				return false
			}
			at += 1 + length
		case '{', '[':
			open++
		case '}', ']':
			open--
		}
	}
	return open == 0
}

// untilQuote is the length of a string that has begun, negative when it does not end.
func untilQuote(rest []byte) int {
	for from := 0; ; {
		length := bytes.IndexByte(rest[from:], '"')
		if length < 0 {
			return -1
		}
		from += length
		escapes := 0
		for escapes < from && rest[from-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return from
		}
		from++
	}
}

// members are the values of an object's members by these names, in the order of the names,
// found in one look over the object; "" where there is none or null. The object must be JSON.
// Of members of the same name the first counts. What is no object is an error.
func members(object string, names ...string) ([]string, error) {
	whole := gjson.Parse(object)
	if !whole.IsObject() {
		return nil, fmt.Errorf("got %s, want an object", shown([]byte(object)))
	}
	values := make([]string, len(names))
	seen := make([]bool, len(names))
	left := len(names)
	whole.ForEach(func(key, value gjson.Result) bool {
		at := slices.Index(names, key.Str)
		if at < 0 || seen[at] {
			return true
		}
		seen[at] = true
		left--
		if value.Type != gjson.Null {
			values[at] = value.Raw
		}
		return left > 0
	})
	return values, nil
}

// raw is a value as a document; nil for none.
func raw(value string) json.RawMessage {
	if value == "" {
		return nil
	}
	return json.RawMessage(value)
}

// text is a value that has to be a string; "" for none.
func text(name, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	parsed := gjson.Parse(value)
	if parsed.Type != gjson.String {
		return "", fmt.Errorf("%s: got %s, want a string", name, shown([]byte(value)))
	}
	return parsed.Str, nil
}

// narrow appends an object with nothing but the members by these names, each as inner appends
// it; anything that is no object is appended as it is, for whoever decodes it to refuse.
func narrow(to []byte, object string, names []string, inner func(to []byte, name, value string) []byte) []byte {
	values, err := members(object, names...)
	if err != nil {
		return append(to, object...)
	}
	to = append(to, '{')
	for i, value := range values {
		if value == "" {
			continue
		}
		if to[len(to)-1] != '{' {
			to = append(to, ',')
		}
		to = append(to, '"')
		to = append(to, names[i]...)
		to = append(to, '"', ':')
		to = inner(to, names[i], value)
	}
	return append(to, '}')
}

// asItIs is for a value that is not narrowed.
func asItIs(to []byte, _, value string) []byte { return append(to, value...) }

// narrowList appends a list with each of its objects narrowed to the members by these names.
func narrowList(to []byte, list string, names []string) []byte {
	items := gjson.Parse(list)
	if !items.IsArray() {
		return append(to, list...)
	}
	to = append(to, '[')
	items.ForEach(func(_, item gjson.Result) bool {
		if to[len(to)-1] != '[' {
			to = append(to, ',')
		}
		to = narrow(to, item.Raw, names, asItIs)
		return true
	})
	return append(to, ']')
}
