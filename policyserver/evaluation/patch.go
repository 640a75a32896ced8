package evaluation

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wI2L/jsondiff"
)

// diff is the JSON patch (RFC 6902) that makes mutated out of object: add, remove and
// replace only, arrays compared by position, numbers by their text. It is nil when there
// is no difference.
func diff(object, mutated json.RawMessage) ([]byte, error) {
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
