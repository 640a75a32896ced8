package scan

import (
	"errors"
	"testing"
	"time"
)

func TestBreakerStopsAskingAServerThatDoesNotAnswer(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	servers := newLanes(1, func() time.Time { return now })
	one := servers.of("https://one").breaker
	silence := &passingError{err: errors.New("connection refused"), unreachable: true}

	fail := func(times int) {
		t.Helper()
		for range times {
			one.record(silence)
		}
	}
	fail(breakAfter - 1)
	if err := one.refuses(); err != nil {
		t.Fatalf("refuses after %d failures: %v", breakAfter-1, err)
	}
	one.record(errors.New("guest trapped"))
	fail(breakAfter - 1)
	if err := one.refuses(); err != nil {
		t.Fatalf("an answer that is an error is an answer, yet: %v", err)
	}
	fail(1)
	err := one.refuses()
	if err == nil || err.Error() != "the policy server does not answer: connection refused" {
		t.Fatalf("error = %v", err)
	}
	if err := servers.of("https://two").breaker.refuses(); err != nil {
		t.Errorf("another server is refused too: %v", err)
	}

	now = now.Add(probeAfter)
	if err := one.refuses(); err != nil {
		t.Errorf("no question is let through after %s: %v", probeAfter, err)
	}
	if one.refuses() == nil {
		t.Error("a second question is let through")
	}
	fail(1)
	now = now.Add(probeAfter / 2)
	if one.refuses() == nil {
		t.Error("an unanswered probe lets questions through before it is time")
	}
	now = now.Add(probeAfter)
	if err := one.refuses(); err != nil {
		t.Errorf("no second probe: %v", err)
	}
	one.record(nil)
	for range 2 {
		if err := one.refuses(); err != nil {
			t.Errorf("an answer does not let all through again: %v", err)
		}
	}
}

func TestBreakerDoesNotCountAServerThatIsBusy(t *testing.T) {
	one := newLanes(1, time.Now).of("https://one").breaker
	for range 2 * breakAfter {
		one.record(&passingError{err: errors.New("503")})
	}
	if err := one.refuses(); err != nil {
		t.Errorf("a busy server is refused: %v", err)
	}
}
