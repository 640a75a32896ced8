package evaluation

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wI2L/jsondiff"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// maxOperations bounds the patches that are looked for, in bytes. An object of the size
// that an API server stores, changed in all of its values, needs less.
const maxOperations = 64 << 20

// errTooLargeToCompare is the policy's doing: it made the mutated object.
var errTooLargeToCompare = &policy.Error{
	Kind:    policy.KindGuest,
	Message: fmt.Sprintf("internal server error: object and mutated object are too large to compare: a patch could have more than %d bytes", maxOperations),
}

// operationsBound is how large the operations are that a document can be worth: one for
// each value, with the path to it, in bytes. It stops counting at maxOperations. What makes
// it large is not the document's size alone: 60 KB under a key of 20 KB are a patch of
// 400 MB when every value has changed. The document is valid JSON.
func operationsBound(document json.RawMessage) int {
	const operation = 150 // without the path, in memory and as text
	const element = 8     // index of an element and its slash
	total, path := 0, 0
	var outer []int // lengths of the paths to the values around
	for at := 0; at < len(document) && total <= maxOperations; at++ {
		switch c := document[at]; c {
		case '{', '[':
			total += operation + path
			outer = append(outer, path)
			path += element
		case '}', ']':
			path, outer = outer[len(outer)-1], outer[:len(outer)-1]
		case '"':
			end := endOfString(document, at)
			if isKey(document[end+1:]) {
				path = outer[len(outer)-1] + end - at
			} else {
				total += operation + path
			}
			at = end
		case ',', ':', ' ', '\t', '\r', '\n':
		default: // a number or a word
			total += operation + path
			at = endOfWord(document, at)
		}
	}
	return total
}

// endOfString is where the quote stands that ends the string beginning at a quote.
func endOfString(document []byte, begin int) int {
	for at := begin + 1; at < len(document); at++ {
		switch document[at] {
		case '\\':
			at++
		case '"':
			return at
		}
	}
	return len(document) - 1
}

// endOfWord is where the last byte stands of a number or a word.
func endOfWord(document []byte, begin int) int {
	for at := begin + 1; at < len(document); at++ {
		switch document[at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return at - 1
		}
	}
	return len(document) - 1
}

// isKey says whether what follows a string makes it the key of a member.
func isKey(behind []byte) bool {
	behind = bytes.TrimLeft(behind, " \t\r\n")
	return len(behind) > 0 && behind[0] == ':'
}

// diff is the JSON patch (RFC 6902) that makes mutated out of object: add, remove and
// replace only, arrays compared by position, numbers by their text. It is nil when there
// is no difference. The error is a *policy.Error when the objects are too large.
func diff(object, mutated json.RawMessage) ([]byte, error) {
	if size := operationsBound(object) + operationsBound(mutated); size > maxOperations {
		return nil, errTooLargeToCompare
	}
	patch, err := jsondiff.CompareJSON(object, mutated, jsondiff.UnmarshalFunc(unmarshalExact))
	if err != nil {
		return nil, fmt.Errorf("compare mutated object: %w", err)
	}
	if len(patch) == 0 {
		return nil, nil
	}
	encoded, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return encoded, nil
}

// unmarshalExact keeps the digits of numbers: a 64-bit integer must come out of a patch
// as it went in.
func unmarshalExact(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(value)
}

// absent says whether a JSON value is missing or null.
func absent(value json.RawMessage) bool {
	trimmed := bytes.TrimSpace(value)
	return len(trimmed) == 0 || bytes.Equal(trimmed, []byte("null"))
}
