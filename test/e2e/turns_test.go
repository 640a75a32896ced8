//go:build e2e

package e2e

import (
	"errors"
	"testing"
	"time"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Settings between which the verdict about a Pod with the small limit turns: one is below
// it, one above.
const (
	belowSmallLimit = "50m"
	aboveSmallLimit = "1"
)

// turn is an edit after which Pods with the small limit are judged otherwise.
type turn struct {
	// written is when the edit was sent; reported is when the status said that every ready
	// replica serves it.
	written, reported time.Time
	admits            bool
}

// turns are edits, one after the other. Before the first, Pods with the small limit are
// admitted.
type turns []turn

// judge wants the old or the new verdict while an edit is on its way, and nothing but the
// new one for what is begun after the edit was reported.
func (edits turns) judge(a answer) string {
	if a.limit == largeLimit {
		return a.mustBe(false)
	}
	// The settings of each edit can be met from when it was written until the next one was
	// reported.
	met := map[bool]bool{}
	from, admits := time.Time{}, true
	for _, next := range edits {
		if !a.end.Before(from) && !a.begin.After(next.reported) {
			met[admits] = true
		}
		from, admits = next.written, next.admits
	}
	if !a.end.Before(from) {
		met[admits] = true
	}
	if a.err == nil {
		return a.mustBe(met[true])
	}
	return a.mustBe(!met[false])
}

// turnVerdicts edits the policy of the traffic over and over, and each time waits for the
// report and a moment longer.
func turnVerdicts(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy) turns {
	t.Helper()
	const count = 10
	edits := make(turns, 0, count)
	var slowest time.Duration
	for i := range count {
		limit, admits := belowSmallLimit, false
		if i%2 == 1 {
			limit, admits = aboveSmallLimit, true
		}
		written := time.Now()
		change(t, policy, func() { policy.Spec.Settings = rawSettings(t, map[string]any{"cpu": limit}) })
		eventuallyReady(t, policy, promptly)
		reported := time.Now()
		edits = append(edits, turn{written: written, reported: reported, admits: admits})
		slowest = max(slowest, reported.Sub(written))
		time.Sleep(time.Second)
	}
	t.Logf("%d edits were reported by every replica; the slowest after %s", len(edits), slowest.Round(time.Millisecond))
	return edits
}

// TestTurnsAreJudged holds the judge of the traffic against answers that are known.
func TestTurnsAreJudged(t *testing.T) {
	start := time.Now()
	at := func(second float64) time.Time { return start.Add(time.Duration(second * float64(time.Second))) }
	edits := turns{{at(10), at(12), false}, {at(20), at(22), true}}
	denied := errors.New("cpu limit " + smallLimit + " is above " + belowSmallLimit)
	for name, tc := range map[string]struct {
		begin, end float64
		err        error
		right      bool
	}{
		"before, admitted":                   {1, 2, nil, true},
		"before, denied":                     {1, 2, denied, false},
		"across the first write, denied":     {9, 11, denied, true},
		"across the first write, admitted":   {9, 11, nil, true},
		"during, another error":              {11, 11.5, errors.New("timeout"), false},
		"after the first report, admitted":   {12.1, 13, nil, false},
		"after the first report, denied":     {12.1, 13, denied, true},
		"across the second write, admitted":  {13, 21, nil, true},
		"after the second report, denied":    {23, 24, denied, false},
		"after the second report, admitted":  {23, 24, nil, true},
		"across both, denied":                {9, 24, denied, true},
		"from the first to the last, denied": {11, 24, denied, true},
	} {
		got := edits.judge(answer{begin: at(tc.begin), end: at(tc.end), limit: smallLimit, err: tc.err})
		if (got == "") != tc.right {
			t.Errorf("%s: got %q, want it right: %t", name, got, tc.right)
		}
	}
	if edits.judge(answer{begin: at(11), end: at(12), limit: largeLimit}) == "" {
		t.Error("a Pod that every setting denies was admitted, and that was right")
	}
}
