package replicas

import (
	"maps"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Changed compares the reports of all replicas with those of before. ids, sorted, are the
// policies about which Set.Policy may answer otherwise, as far as reports go; all says that
// these may be any, as when a replica comes, goes or begins anew.
func Changed(before, after map[string]contract.Report) (ids []string, all bool) {
	if len(before) != len(after) {
		return nil, true
	}
	changed := map[string]bool{}
	for name, now := range after {
		was, ok := before[name]
		// What a report that was cut leaves out, it leaves open.
		if !ok || was.StartTime != now.StartTime || was.Truncated || now.Truncated || !maps.Equal(was.Unreadable, now.Unreadable) {
			return nil, true
		}
		different(changed, was.Policies, now.Policies)
		different(changed, was.Failures, now.Failures)
	}
	return slices.Sorted(maps.Keys(changed)), false
}

// different adds the keys whose values are not the same.
func different[V comparable](keys map[string]bool, before, after map[string]V) {
	for key, was := range before {
		if now, ok := after[key]; !ok || now != was {
			keys[key] = true
		}
	}
	for key := range after {
		if _, ok := before[key]; !ok {
			keys[key] = true
		}
	}
}
