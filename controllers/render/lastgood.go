package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// encodeLastGood writes the revisions to fall back on into what room, in bytes, is left of
// the ConfigMap; "" when there are none. Where there is not enough for all, namespaced
// policies go without before cluster-wide ones.
func encodeLastGood(good map[string]contract.LastGood, room int) (string, error) {
	ids := slices.SortedFunc(maps.Keys(good), func(a, b string) int {
		return cmp.Or(cmp.Compare(namespacedLast(a), namespacedLast(b)), strings.Compare(a, b))
	})
	fitting := map[string]contract.LastGood{}
	left := room - len("{}")
	for _, id := range ids {
		encoded, err := contract.EncodeLastGood(map[string]contract.LastGood{id: good[id]})
		if err != nil {
			return "", err
		}
		if len(encoded) > left {
			continue
		}
		left -= len(encoded)
		fitting[id] = good[id]
	}
	if len(fitting) == 0 {
		return "", nil
	}
	encoded, err := contract.EncodeLastGood(fitting)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", contract.KeyLastGood, err)
	}
	return string(encoded), nil
}

func namespacedLast(id string) int {
	if contract.IsNamespacedID(id) {
		return 1
	}
	return 0
}
