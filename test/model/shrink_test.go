//go:build integration

package model

import (
	"slices"
	"testing"
)

// shrink returns a part of a history that still breaks something, as small as it can get
// before more returns false. It leaves out ever smaller pieces, for as long as breaks says
// that what remains still breaks; the whole history does, and ends with what shows it.
func shrink(h history, breaks func(history) bool, more func() bool) history {
	for size := (len(h) + 1) / 2; size > 0; {
		removed := false
		for from := 0; from < len(h)-1; {
			if !more() {
				return h
			}
			// The last operation is the pause that shows it.
			to := min(from+size, len(h)-1)
			if rest := slices.Concat(h[:from], h[to:]); breaks(rest) {
				h, removed = rest, true
			} else {
				from = to
			}
		}
		if size == 1 && !removed {
			break
		}
		size = max(1, size/2)
	}
	return h
}

func TestShrink(t *testing.T) {
	cause := []operation{{"cut", 1, 0}, {"settings", 0, 1}, {verb: pause}}
	breaks := func(h history) bool {
		at := 0
		for _, step := range h {
			if at < len(cause) && step == cause[at] {
				at++
			}
		}
		return at == len(cause)
	}
	long := randomHistory(1, 40)
	long = slices.Concat(long[:7], cause[:1], long[7:30], cause[1:2], long[30:len(long)-1], cause[2:])
	always := func() bool { return true }
	if got := shrink(long, breaks, always); !slices.Equal(got, cause) {
		t.Errorf("got %s, want %s", got, history(cause))
	}
	left := 3
	short := shrink(long, breaks, func() bool { left--; return left >= 0 })
	if !breaks(short) || left != -1 {
		t.Errorf("after three attempts: %s, which breaks: %t, attempts left %d", short, breaks(short), left)
	}
}

func TestHistoriesAreRepeatable(t *testing.T) {
	first := randomHistory(7, 100)
	if len(first) != 100 {
		t.Errorf("the history has %d operations, want 100", len(first))
	}
	if again := randomHistory(7, 100); !slices.Equal(first, again) {
		t.Errorf("one seed gave two histories:\n%s\n%s", first, again)
	}
	if other := randomHistory(8, 100); slices.Equal(first, other) {
		t.Error("two seeds gave one history")
	}
	read, err := parseHistory(first.String())
	if err != nil || !slices.Equal(read, first) {
		t.Errorf("a printed history was read as %s (%v), want %s", read, err, first)
	}
	for _, text := range []string{"pause", "dance/0/0", "pause/x/0", "pause/0/x"} {
		if _, err := parseHistory(text); err == nil {
			t.Errorf("history %q was read", text)
		}
	}
}
