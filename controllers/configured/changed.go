package configured

import (
	"maps"
	"reflect"
	"slices"
)

// Changed are the policies of which two configurations say something else, but for what
// replicas fall back on; sorted.
func Changed(before, after Configuration) []string {
	changed := map[string]bool{}
	different(changed, before.Policies, after.Policies)
	different(changed, before.Refused, after.Refused)
	return slices.Sorted(maps.Keys(changed))
}

// different adds the keys whose values are not the same.
func different[V any](keys map[string]bool, before, after map[string]V) {
	for key, was := range before {
		if now, ok := after[key]; !ok || !reflect.DeepEqual(was, now) {
			keys[key] = true
		}
	}
	for key := range after {
		if _, ok := before[key]; !ok {
			keys[key] = true
		}
	}
}
