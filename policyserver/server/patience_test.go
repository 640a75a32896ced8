package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask posts a review and says how long the answer took.
func ask(t *testing.T, handler *Handler, path string) (*httptest.ResponseRecorder, time.Duration) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(review()))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	begin := time.Now()
	handler.ServeHTTP(recorder, request)
	return recorder, time.Since(begin)
}

// Work for a request ends when its sender has stopped waiting, and is no verdict.
func TestHandlerWorksOnlyWhileItIsWaitedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		query    string
		wantTook time.Duration
	}{
		"as the API server says it":         {"?timeout=10s", 10 * time.Second},
		"less than a second":                {"?timeout=250ms", 250 * time.Millisecond},
		"beside others":                     {"?pretty=true&timeout=1m0s", time.Minute},
		"nothing is said":                   {"", time.Hour},
		"what is said is not readable":      {"?timeout=soon", time.Hour},
		"what is said is none":              {"?timeout=0s", time.Hour},
		"what is said is less than none":    {"?timeout=-1s", time.Hour},
		"more patience than the work takes": {"?timeout=2h", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler, evaluator, _ := newHandler()
				time.AfterFunc(time.Hour, func() { close(evaluator.hold) })
				recorder, took := ask(t, handler, "/validate/slow"+tc.query)
				wantStatus, wantRetry := http.StatusOK, ""
				if tc.wantTook < time.Hour {
					wantStatus, wantRetry = http.StatusServiceUnavailable, "1"
				}
				if took != tc.wantTook || recorder.Code != wantStatus || recorder.Header().Get("Retry-After") != wantRetry {
					t.Errorf("got status %d with Retry-After %q after %v; want %d with %q after %v",
						recorder.Code, recorder.Header().Get("Retry-After"), took, wantStatus, wantRetry, tc.wantTook)
				}
				synctest.Wait()
				if anybody(handler) {
					t.Error("a worker or a place is not free")
				}
			})
		})
	}
}

// The wait for a worker is part of the sender's time: none is asked for nobody.
func TestHandlerDoesNotBeginWhatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, evaluator, busy := newHandler()
		handler.queue.wait = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/validate/slow", strings.NewReader(review()))
			request.Header.Set("Content-Type", "application/json")
			handler.ServeHTTP(httptest.NewRecorder(), request)
		}()
		synctest.Wait()
		recorder, took := ask(t, handler, "/validate/accept?timeout=3s")
		if took != 3*time.Second || recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") != "1" {
			t.Errorf("got status %d with Retry-After %q after %v; want 503 with 1 after 3s",
				recorder.Code, recorder.Header().Get("Retry-After"), took)
		}
		if len(evaluator.requests) != 1 || len(busy.overloaded) != 1 {
			t.Errorf("got %d evaluations and %v overloaded; want the first request's only, and one overload", len(evaluator.requests), busy.overloaded)
		}
		cancel()
		<-done
	})
}

// The cause says who gave up; the context has no deadline that a policy could be blamed for.
func TestWhileWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate/a?timeout=5s", nil)
		ctx, cancel := whileWaitedFor(request)
		defer cancel()
		if _, limited := ctx.Deadline(); limited {
			t.Error("the context has a deadline")
		}
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), errNobodyWaits) {
			t.Errorf("got %v because of %v; want canceled because nobody waits", ctx.Err(), context.Cause(ctx))
		}
	})
}
