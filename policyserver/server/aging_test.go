package server

import (
	"testing"
	"time"
)

func TestConnectionIsDue(t *testing.T) {
	age := Age{Mean: time.Minute, Requests: 100, Busy: time.Second}
	for name, tc := range map[string]struct {
		after    time.Duration
		requests int64 // the one that asks included
		want     bool
	}{
		"young":                          {0, 1, false},
		"busy, but young":                {499 * time.Millisecond, 1_000_000, false},
		"busy, and no more so young":     {1500 * time.Millisecond, 100, true},
		"not busy enough":                {29 * time.Second, 99, false},
		"old, however little it is used": {90 * time.Second, 1, true},
		"not old enough and not busy":    {29 * time.Second, 1, false},
		"busy and old":                   {90 * time.Second, 1_000_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			now := start
			aging := aging{age: age, now: func() time.Time { return now }}
			current, _ := aging.connContext(t.Context(), nil).Value(connectionKey{}).(*connection)
			current.requests.Store(tc.requests - 1)
			now = start.Add(tc.after)
			if got := aging.due(current); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestConnectionsDoNotEndTogether(t *testing.T) {
	now := time.Now()
	aging := aging{age: DefaultAge, now: func() time.Time { return now }}
	seen := map[time.Duration]bool{}
	for range 100 {
		current, _ := aging.connContext(t.Context(), nil).Value(connectionKey{}).(*connection)
		for mean, at := range map[time.Duration]time.Time{DefaultAge.Mean: current.expires, DefaultAge.Busy: current.busy} {
			if after := at.Sub(now); after < mean/2 || after > mean*3/2 {
				t.Errorf("got an age of %s, want one from %s to %s", after, mean/2, mean*3/2)
			}
		}
		seen[current.expires.Sub(now).Round(10*time.Second)] = true
	}
	if len(seen) < 4 {
		t.Errorf("all connections end at %v", seen)
	}
}
