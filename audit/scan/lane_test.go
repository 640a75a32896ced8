package scan

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

func TestALaneIsAsWideAsTheServerHasRoom(t *testing.T) {
	now := time.Unix(0, 0)
	lane := newLanes(16, func() time.Time { return now }).of("https://one")
	width := func() int {
		t.Helper()
		entered := 0
		for lane.free(1) {
			if err := lane.enter(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			entered++
		}
		for range entered {
			lane.leave(1)
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
	if err := lane.enter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan struct{}), make(chan struct{})
	lane.waiting = []waiter{{first, 1}, {second, 1}}
	lane.giveUp(first, 1)
	lane.leave(1)
	select {
	case <-second:
	default:
		t.Fatal("the second did not get the turn of the first")
	}
	third := make(chan struct{})
	lane.waiting = []waiter{{third, 1}}
	lane.giveUp(second, 1) // whose turn came at the same time
	select {
	case <-third:
	default:
		t.Error("a turn that came to one who gave up is lost")
	}
}

func TestARequestTakesAsManyPlacesAsItHasQuestions(t *testing.T) {
	lane := newLanes(16, time.Now).of("https://one")
	if err := lane.enter(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if lane.free(7) || !lane.free(6) {
		t.Error("10 of 16 places are taken, 6 are free")
	}
	entered := make(chan int, 2)
	for n, places := range []int{40, 1} {
		go func() {
			if err := lane.enter(t.Context(), places); err != nil {
				t.Error(err)
			}
			entered <- places
		}()
		waitUntil(t, func() bool {
			lane.mu.Lock()
			defer lane.mu.Unlock()
			return len(lane.waiting) == n+1
		})
	}
	lane.leave(10)
	if first := <-entered; first != 40 {
		t.Errorf("%d places were taken first: who needs more than there are is alone, and in turn", first)
	}
	lane.leave(40)
	if second := <-entered; second != 1 || lane.inside != 1 {
		t.Errorf("%d places were taken, %d are", second, lane.inside)
	}
}

func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return condition(), nil }); err != nil {
		t.Fatal(err)
	}
}
