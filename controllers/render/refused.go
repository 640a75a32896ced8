package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// KeyRefused is the key of a policy server's ConfigMap under which the operator notes which
// entries got no room, for the status of their policies. Replicas ignore it.
const KeyRefused = "refused.json"

// maxRefusedBytes bounds what is noted. It comes on top of maxConfigBytes.
const maxRefusedBytes = 64 << 10

// encodeRefused writes refusals, the first by ID when there are too many.
func encodeRefused(refused map[string]RefusedEntry) (string, error) {
	ids := slices.Sorted(maps.Keys(refused))
	for {
		noted := make(map[string]RefusedEntry, len(ids))
		for _, id := range ids {
			noted[id] = refused[id]
		}
		encoded, err := json.Marshal(noted)
		if err != nil {
			return "", fmt.Errorf("encode %s: %w", KeyRefused, err)
		}
		if len(encoded) <= maxRefusedBytes {
			return string(encoded), nil
		}
		ids = ids[:len(ids)*maxRefusedBytes/len(encoded)]
	}
}

// DecodeRefused reads what is noted under KeyRefused.
func DecodeRefused(text string) (map[string]RefusedEntry, error) {
	if text == "" {
		return nil, nil
	}
	var refused map[string]RefusedEntry
	if err := json.Unmarshal([]byte(text), &refused); err != nil {
		return nil, fmt.Errorf("decode %s: %w", KeyRefused, err)
	}
	return refused, nil
}
