package telemetry

import "sync"

// Other stands for a label value that came too late.
const Other = "other"

// bounded lets the first few values of a label through and calls the rest Other: what a
// request says of itself must not be able to fill a monitoring system.
type bounded struct {
	most int

	mu   sync.RWMutex
	seen map[string]struct{}
}

// maxLabelBytes is the length of a Kubernetes name: a longer value is none.
const maxLabelBytes = 253

func newBounded(most int) *bounded { return &bounded{most: most, seen: map[string]struct{}{}} }

func (b *bounded) value(value string) string {
	if value == "" {
		return value
	}
	b.mu.RLock()
	_, known := b.seen[value]
	full := len(b.seen) >= b.most
	b.mu.RUnlock()
	switch {
	case known:
		return value
	case full, len(value) > maxLabelBytes:
		return Other
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.seen[value]; !known && len(b.seen) >= b.most {
		return Other
	}
	b.seen[value] = struct{}{}
	return value
}
