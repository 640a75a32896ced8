package scan

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestALaneIsAsWideAsTheServerHasRoom(t *testing.T) {
	now := time.Unix(0, 0)
	lane := newLanes(16, func() time.Time { return now }).of("https://one")
	width := func() int {
		t.Helper()
		entered := 0
		for lane.free() {
			if err := lane.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			entered++
		}
		for range entered {
			lane.leave()
		}
		return entered
	}
	if got := width(); got != 16 {
		t.Fatalf("%d at once, want 16", got)
	}
	lane.sentAway() // at 0 s: nobody has been sent away in the last second
	lane.sentAway()
	if got := width(); got != 8 {
		t.Errorf("%d at once after many were sent away in one second, want 8", got)
	}
	for range 10 {
		now = now.Add(narrowEvery)
		lane.sentAway()
	}
	if got := width(); got != 1 {
		t.Errorf("%d at once when the server never has room, want 1", got)
	}
	lane.answered()
	if got := width(); got != 2 {
		t.Errorf("%d at once after an answer, want 2", got)
	}
	for range 500 {
		lane.answered()
	}
	if got := width(); got != 16 {
		t.Errorf("%d at once after many answers, want 16 again", got)
	}
}

// TestQuestionsGetThroughToAServerWithLittleRoom puts many more questions than the server has
// room for: it sends most away at first, and yet each gets its answer.
func TestQuestionsGetThroughToAServerWithLittleRoom(t *testing.T) {
	const room, questions = 2, 200
	var inside, sentAway atomic.Int32
	full := make(chan struct{})
	fill := sync.OnceFunc(func() { close(full) })
	server := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		defer inside.Add(-1)
		if inside.Add(1) > room {
			sentAway.Add(1)
			busy("")(w)
			fill()
			return
		}
		<-full // the first ones take all the room until somebody has been sent away
		_, _ = w.Write([]byte(`{"response":{"uid":"uid-1","allowed":true}}`))
	})
	var clock atomic.Int64
	asker := NewAsker(AskerConfig{Transport: &http.Transport{}, Parallel: 64, Now: func() time.Time {
		return time.Unix(clock.Add(1), 0) // so that every question that is sent away narrows
	}})
	asker.backoff, asker.busyFor = []time.Duration{time.Millisecond}, 24*time.Hour
	var work sync.WaitGroup
	for range questions {
		work.Go(func() {
			if _, err := asker.Ask(t.Context(), server.URL, "p", question); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if sentAway.Load() == 0 {
		t.Error("the server had room all the time: the test proves nothing")
	}
	lane := asker.lanes.of(server.URL)
	if lane.inside != 0 || len(lane.waiting) != 0 {
		t.Errorf("%d are inside and %d wait after all have left", lane.inside, len(lane.waiting))
	}
	if lane.width > 64 {
		t.Errorf("the lane is %v wide", lane.width)
	}
}

func TestWhoGivesUpLeavesTheTurnToTheNext(t *testing.T) {
	lane := newLanes(1, time.Now).of("https://one")
	if err := lane.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan struct{}), make(chan struct{})
	lane.waiting = []chan struct{}{first, second}
	lane.giveUp(first)
	lane.leave()
	select {
	case <-second:
	default:
		t.Fatal("the second did not get the turn of the first")
	}
	third := make(chan struct{})
	lane.waiting = []chan struct{}{third}
	lane.giveUp(second) // whose turn came at the same time
	select {
	case <-third:
	default:
		t.Error("a turn that came to one who gave up is lost")
	}
}
