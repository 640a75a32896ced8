package scan

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnEstimateTakesAllPlacesForEquallyFull(t *testing.T) {
	tests := map[string]struct {
		places        int
		done          float64
		wantDone      float64
		wantRemaining time.Duration
		wantKnown     bool
	}{
		"before the places are known": {done: 1},
		"before anything is done":     {places: 4},
		"one place of four":           {places: 4, done: 1, wantDone: 0.25, wantRemaining: 3 * time.Minute, wantKnown: true},
		"half of a place of two":      {places: 2, done: 0.5, wantDone: 0.25, wantRemaining: 3 * time.Minute, wantKnown: true},
		"all":                         {places: 2, done: 2, wantDone: 1, wantKnown: true},
		"nothing to do":               {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := &progress{}
			p.expect(tc.places)
			p.advance(tc.done)
			done, remaining, known := p.estimate(time.Minute)
			if done != tc.wantDone || remaining != tc.wantRemaining || known != tc.wantKnown {
				t.Errorf("got %v, %s, %t, want %v, %s, %t", done, remaining, known, tc.wantDone, tc.wantRemaining, tc.wantKnown)
			}
		})
	}
}

func TestProgressIsLoggedEveryWhileUntilTheScanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := &run{Scanner: &Scanner{config: Config{Now: time.Now, ProgressEvery: 10 * time.Second, Log: slog.New(slog.NewJSONHandler(&out, nil))}}}
		stop := r.followProgress(t.Context())
		r.counts.add(func(s *Summary) { s.Objects = 7 })
		r.progress.expect(4)
		r.progress.advance(1)
		time.Sleep(15 * time.Second)
		stop()
		time.Sleep(time.Minute)
		got := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("want one line: %v: %s", err, out.String())
		}
		delete(got, "time")
		want := map[string]any{
			"level": "INFO", "msg": "audit scan under way", "objects": 7.0, "elapsed": "10s", "percent": 25.0, "remaining": "30s",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
