package scan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var question = Review{UID: "uid-1", Body: []byte(`{"request":{"uid":"uid-1"}}`)}

// impatient is an Asker that does not wait long between attempts.
func impatient(transport http.RoundTripper) *Asker {
	asker := NewAsker(AskerConfig{Transport: transport, Parallel: 16, Now: time.Now})
	asker.backoff, asker.busyFor = []time.Duration{time.Millisecond, time.Millisecond}, time.Minute
	return asker
}

func answers(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestAskReadsTheAnswer(t *testing.T) {
	cases := map[string]struct {
		status  int
		body    string
		want    Answer
		wantErr string
	}{
		"allowed":                {body: `{"response":{"uid":"uid-1","allowed":true}}`, want: Answer{Allowed: true}},
		"allowed with a message": {body: `{"response":{"uid":"uid-1","allowed":true,"status":{"message":"fine"}}}`, want: Answer{Allowed: true, Message: "fine"}},
		"denied":                 {body: `{"response":{"uid":"uid-1","allowed":false,"status":{"message":"no","code":400}}}`, want: Answer{Message: "no"}},
		"denied without status":  {body: `{"response":{"uid":"uid-1","allowed":false,"status":null}}`},
		"allowed with a patch, as a mutating policy does": {
			body: `{"response":{"uid":"uid-1","allowed":true,"patchType":"JSONPatch","patch":"W10=","auditAnnotations":null,"warnings":null}}`, want: Answer{Allowed: true},
		},
		"not evaluated":        {body: `{"response":{"uid":"uid-1","allowed":false,"status":{"message":"guest trapped","code":500}}}`, wantErr: "guest trapped"},
		"no response":          {body: `{"kind":"AdmissionReview"}`, wantErr: "decode the answer: it has no response"},
		"no JSON":              {body: `hello`, wantErr: "decode the answer: invalid character"},
		"about another object": {body: `{"response":{"uid":"uid-2","allowed":true}}`, wantErr: `the answer is about uid "uid-2", asked was about "uid-1"`},
		"unknown policy":       {status: 404, body: `{"message":"unknown policy: p"}`, wantErr: `unexpected status code: 404 body: {"message":"unknown policy: p"}`},
		"internal error":       {status: 500, body: strings.Repeat("x", 1000), wantErr: "unexpected status code: 500 body: " + strings.Repeat("x", maxErrorBody)},
		"redirected":           {status: 307, body: "elsewhere", wantErr: "unexpected status code: 307"},
		"too large":            {body: strings.Repeat(" ", maxAnswer+1), wantErr: "the answer is larger than"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := answers(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				if tc.status != 0 {
					w.WriteHeader(tc.status)
				}
				_, _ = w.Write([]byte(tc.body))
			})
			got, err := impatient(http.DefaultTransport).Ask(t.Context(), server.URL, "p", question)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.wantErr)) {
				t.Errorf("error = %v, want %q", err, tc.wantErr)
			}
		})
	}
}

func TestAskPutsTheQuestionAsUpstreamDoes(t *testing.T) {
	var got string
	server := answers(t, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, len(question.Body))
		_, _ = r.Body.Read(body)
		got = fmt.Sprintf("%s %s %s %v %s", r.Method, r.URL.EscapedPath(), r.Header.Get("Content-Type"), r.Header["X-Idempotency-Key"], body)
		_, _ = w.Write([]byte(`{"response":{"uid":"uid-1","allowed":true}}`))
	})
	if _, err := impatient(http.DefaultTransport).Ask(t.Context(), server.URL, "kw.cap.a/b", question); err != nil {
		t.Fatal(err)
	}
	if want := `POST /audit/kw.cap.a%2Fb application/json [] {"request":{"uid":"uid-1"}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAskTriesAgainWhenAFailureMayPass(t *testing.T) {
	fine := `{"response":{"uid":"uid-1","allowed":true}}`
	cases := map[string]struct {
		fail     func(http.ResponseWriter)
		failures int32
		attempts int32
		wantErr  string
	}{
		"busy, then free":         {fail: busy("0"), failures: 2, attempts: 3},
		"busy for long":           {fail: busy(""), failures: 20, attempts: 21},
		"busy for too long":       {fail: busy(""), failures: 100, attempts: 60, wantErr: "unexpected status code: 503"},
		"a connection that broke": {fail: breakOff, failures: 2, attempts: 3},
		"connections that break all the time": {
			fail: breakOff, failures: 3, attempts: 3, wantErr: "EOF",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var attempts atomic.Int32
			server := answers(t, func(w http.ResponseWriter, _ *http.Request) {
				if attempts.Add(1) <= tc.failures {
					tc.fail(w)
					return
				}
				_, _ = w.Write([]byte(fine))
			})
			asker, seconds := impatient(&http.Transport{DisableKeepAlives: true}), int64(0)
			asker.now = func() time.Time { // a second passes each time that somebody looks
				seconds++
				return time.Unix(seconds, 0)
			}
			_, err := asker.Ask(t.Context(), server.URL, "p", question)
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("error = %v, want %q", err, tc.wantErr)
			}
			if attempts.Load() != tc.attempts {
				t.Errorf("%d attempts, want %d", attempts.Load(), tc.attempts)
			}
		})
	}
}

func busy(retryAfter string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func breakOff(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = connection.Close()
	}
}

func TestAskWaitsAsLongAsTheServerSays(t *testing.T) {
	var attempts atomic.Int32
	server := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		if attempts.Add(1) == 1 {
			busy("1")(w)
			return
		}
		_, _ = w.Write([]byte(`{"response":{"uid":"uid-1","allowed":true}}`))
	})
	start := time.Now()
	if _, err := impatient(http.DefaultTransport).Ask(t.Context(), server.URL, "p", question); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("waited %s, the server asked for 1s", waited)
	}
}

func TestAskDoesNotTryAgainWhatWillNotPass(t *testing.T) {
	var attempts atomic.Int32
	server := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		attempts.Add(1)
		w.WriteHeader(http.StatusNotFound)
	})
	if _, err := impatient(http.DefaultTransport).Ask(t.Context(), server.URL, "p", question); err == nil {
		t.Error("a policy that the server does not know has no verdict")
	}
	if attempts.Load() != 1 {
		t.Errorf("%d attempts, want 1", attempts.Load())
	}
}

func TestQuestionsWaitForTheirTurn(t *testing.T) {
	const parallel = 2
	var now, most atomic.Int32
	server := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		_, _ = w.Write([]byte(`{"response":{"uid":"uid-1","allowed":true}}`))
	})
	asker := NewAsker(AskerConfig{Transport: &http.Transport{}, Parallel: parallel, Now: time.Now})
	var work sync.WaitGroup
	for range 20 * parallel {
		work.Go(func() {
			if _, err := asker.Ask(t.Context(), server.URL, "p", question); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if most.Load() > parallel {
		t.Errorf("%d questions at once, want at most %d", most.Load(), parallel)
	}

	lane := asker.lanes.of(server.URL)
	for range parallel {
		if err := lane.enter(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := asker.Ask(ctx, server.URL, "p", question); !errors.Is(err, context.Canceled) {
		t.Errorf("a question that waits ends with its context; error = %v", err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	server := answers(t, func(w http.ResponseWriter, _ *http.Request) { busy("3600")(w) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := impatient(http.DefaultTransport).Ask(ctx, server.URL, "p", question); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
}

func TestErrorsOfTheNetworkAreTheSameEveryTime(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, got := impatient(http.DefaultTransport).Ask(t.Context(), closed, "p", question)
	if want := "dial tcp: connect: connection refused"; got == nil || got.Error() != want {
		t.Errorf("error = %v, want %s", got, want)
	}
	if got := describe(fmt.Errorf("outer: %w", context.DeadlineExceeded)).Error(); got != "no answer within 10s" {
		t.Errorf("error = %s", got)
	}
}

func TestRetryAfter(t *testing.T) {
	cases := map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "soon": 0, "2": 2 * time.Second, "86400": maxRetryAfter, "Wed, 25 Nov 2026 12:00:00 GMT": 0,
	}
	for header, want := range cases {
		if got := retryAfter(header); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", header, got, want)
		}
	}
}
