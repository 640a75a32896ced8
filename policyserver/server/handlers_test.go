package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// fakeEvaluator answers by the policy's ID.
type fakeEvaluator struct {
	mu       sync.Mutex
	requests []evaluation.Request
	hold     chan struct{} // "slow" waits for it
}

func (f *fakeEvaluator) Evaluate(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error) {
	f.mu.Lock()
	f.requests = append(f.requests, request)
	f.mu.Unlock()
	switch policyID {
	case "accept":
		return evaluation.Response{Allowed: true}, nil
	case "repeatable":
		return evaluation.Response{Allowed: true, Revision: "0123456789ab"}, nil
	case "slow":
		select {
		case <-f.hold:
			return evaluation.Response{Allowed: true}, nil
		case <-ctx.Done():
			return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindUnavailable, Err: ctx.Err()}
		}
	case "loading":
		return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindUnavailable, Err: errors.New("is being loaded")}
	case "broken":
		return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindInternal, Err: errors.New("confidential cause")}
	case "panics":
		panic("confidential panic")
	default:
		return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindUnknownPolicy, Err: errors.New("unknown")}
	}
}

// loadCount counts what a LoadObserver is told.
type loadCount struct {
	mu         sync.Mutex
	inFlight   int
	busy       int
	answered   []string
	overloaded []string
}

func (l *loadCount) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight += n
}

func (l *loadCount) RequestStarted() { l.add(1) }

func (l *loadCount) RequestEnded(answered Answered) {
	l.add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered = append(l.answered, fmt.Sprint(answered.Endpoint, " ", answered.Status))
}

func (l *loadCount) WorkStarted(time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy++
}

func (l *loadCount) WorkEnded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
}

func (l *loadCount) Overloaded(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overloaded = append(l.overloaded, reason)
}

// check looks for the status of the one request that was answered.
func (l *loadCount) check(t *testing.T, status int) {
	t.Helper()
	if len(l.answered) != 1 || !strings.HasSuffix(l.answered[0], fmt.Sprint(" ", status)) {
		t.Errorf("the observer was told %q, want status %d", l.answered, status)
	}
}

// checkRetryAfter wants to be told when to come back where that can help, and only there.
func checkRetryAfter(t *testing.T, recorder *httptest.ResponseRecorder) {
	t.Helper()
	if got, want := recorder.Header().Get("Retry-After"), recorder.Code == http.StatusServiceUnavailable; (got != "") != want {
		t.Errorf("got Retry-After %q, want one: %t", got, want)
	}
}

func newHandler() (*Handler, *fakeEvaluator, *loadCount) {
	evaluator, busy := &fakeEvaluator{hold: make(chan struct{})}, &loadCount{}
	return NewHandler(HandlerConfig{
		Evaluator: evaluator, Observer: busy, MaxBodyBytes: 1000, Workers: 1, QueueLimit: 1, QueueWait: 50 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}), evaluator, busy
}

func TestHandlerStatuses(t *testing.T) {
	const allowed = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":true,"auditAnnotations":null,"warnings":null}}`
	const asJSON, asText = "application/json", "text/plain; charset=utf-8"
	for name, tc := range map[string]struct {
		method, path, contentType, body string
		wantStatus                      int
		wantType, wantBody              string
	}{
		"validate":     {path: "/validate/accept", wantStatus: 200, wantType: asJSON, wantBody: allowed},
		"audit":        {path: "/audit/accept", wantStatus: 200, wantType: asJSON, wantBody: allowed},
		"validate raw": {path: "/validate_raw/accept", wantStatus: 200, wantType: asJSON, wantBody: `{"response":{"uid":"u-1","allowed":true,"auditAnnotations":null,"warnings":null}}`},
		"escaped ID":   {path: "/validate/%61ccept", wantStatus: 200, wantType: asJSON, wantBody: allowed},

		"content type with a charset":  {path: "/validate/accept", contentType: "application/json; charset=utf-8", wantStatus: 200, wantType: asJSON, wantBody: allowed},
		"content type with a suffix":   {path: "/validate/accept", contentType: "application/x+json", wantStatus: 200, wantType: asJSON, wantBody: allowed},
		"no content type":              {path: "/validate/accept", contentType: "-", wantStatus: 415, wantType: asJSON, wantBody: "{\"message\":\"Expected request with `Content-Type: application/json`\",\"status\":415}"},
		"wrong content type, audit":    {path: "/audit/accept", contentType: "text/json", wantStatus: 415, wantType: asText, wantBody: "Expected request with `Content-Type: application/json`"},
		"body too large":               {path: "/validate/accept", body: strings.Repeat(" ", 1001), wantStatus: 413, wantType: asJSON, wantBody: `{"message":"Failed to buffer the request body: length limit exceeded","status":413}`},
		"body of just the limit":       {path: "/validate/accept", body: review() + strings.Repeat(" ", 1000-len(review())), wantStatus: 200, wantType: asJSON, wantBody: allowed},
		"malformed body":               {path: "/validate/accept", body: `{`, wantStatus: 400, wantType: asJSON, wantBody: `{"message":"Failed to parse the request body as JSON: expected a member name at byte 1","status":400}`},
		"body of another shape":        {path: "/validate/accept", body: `{}`, wantStatus: 422, wantType: asJSON, wantBody: "{\"message\":\"Failed to deserialize the JSON body into the target type: missing field `request`\",\"status\":422}"},
		"body of another shape, audit": {path: "/audit/accept", body: `{}`, wantStatus: 422, wantType: asText, wantBody: "Failed to deserialize the JSON body into the target type: missing field `request`"},
		"body of another shape, raw":   {path: "/validate_raw/accept", body: `{}`, wantStatus: 422, wantType: asText, wantBody: "Failed to deserialize the JSON body into the target type: missing field `request`"},

		"unknown policy":        {path: "/validate/no", wantStatus: 404, wantType: asJSON, wantBody: `{"message":"unknown policy: no","status":404}`},
		"unknown policy, audit": {path: "/audit/no", wantStatus: 404, wantType: asJSON, wantBody: `{"message":"unknown policy: no","status":404}`},
		"unknown policy, raw":   {path: "/validate_raw/no", wantStatus: 404, wantType: asJSON, wantBody: `{"message":"unknown policy: no","status":404}`},
		"member of a group":     {path: "/validate/group%2Fmember", wantStatus: 404, wantType: asJSON, wantBody: `{"message":"unknown policy: group/member","status":404}`},
		"too many slashes":      {path: "/validate/a%2Fb%2Fc", wantStatus: 500, wantType: asJSON, wantBody: `{"message":"Something went wrong","status":500}`},
		"loading":               {path: "/validate/loading", wantStatus: 503, wantType: asJSON, wantBody: `{"message":"is being loaded","status":503}`},
		"broken":                {path: "/validate/broken", wantStatus: 500, wantType: asJSON, wantBody: `{"message":"Something went wrong","status":500}`},
		"panics":                {path: "/validate/panics", wantStatus: 500, wantType: asJSON, wantBody: `{"message":"Something went wrong","status":500}`},

		"wrong method":         {method: "GET", path: "/validate/accept", wantStatus: 405},
		"empty ID":             {path: "/validate/", wantStatus: 404},
		"no ID":                {path: "/validate", wantStatus: 404},
		"deeper path":          {path: "/validate/a/b", wantStatus: 404},
		"unknown path":         {path: "/other", wantStatus: 404},
		"unknown path, GET":    {method: "GET", path: "/readiness", wantStatus: 404},
		"audit raw is no path": {path: "/audit_raw/accept", wantStatus: 404},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _, busy := newHandler()
			request := httptest.NewRequest(cmp.Or(tc.method, http.MethodPost), tc.path, strings.NewReader(cmp.Or(tc.body, review())))
			if tc.contentType != "-" {
				request.Header.Set("Content-Type", cmp.Or(tc.contentType, "application/json"))
			}
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if recorder.Code != tc.wantStatus || recorder.Header().Get("Content-Type") != tc.wantType {
				t.Errorf("got status %d, type %q; want %d, %q", recorder.Code, recorder.Header().Get("Content-Type"), tc.wantStatus, tc.wantType)
			}
			if diff := gocmp.Diff(tc.wantBody, recorder.Body.String()); diff != "" {
				t.Errorf("body; -want +got:\n%s", diff)
			}
			checkRetryAfter(t, recorder)
			if tc.wantType != "" {
				busy.check(t, tc.wantStatus)
			}
			if busy.busy != 0 || busy.inFlight != 0 || anybody(handler) {
				t.Errorf("got %+v, %d places, %d workers taken; want none left behind", busy, inside(handler), working(handler))
			}
		})
	}
}

func TestHandlerPassesTheRequestOnAsItCame(t *testing.T) {
	handler, evaluator, _ := newHandler()
	body := review(`"object": {"n": 1.0, "big": 12345678901234567890, "s":"\u003c"}`, `"new": [ ]`)
	request := httptest.NewRequest(http.MethodPost, "/validate/accept", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	handler.ServeHTTP(httptest.NewRecorder(), request)
	got := evaluator.requests[0]
	if want := body[strings.Index(body, `{"uid"`) : len(body)-1]; string(got.Document) != want {
		t.Errorf("got document %s, want %s", got.Document, want)
	}
	if want := `{"n": 1.0, "big": 12345678901234567890, "s":"\u003c"}`; string(got.Object) != want {
		t.Errorf("got object %s, want %s", got.Object, want)
	}
}

func TestHandlerSendsAwayWhatItCannotServe(t *testing.T) {
	handler, evaluator, busy := newHandler()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	post := func(policyID string) (int, string) {
		response, err := server.Client().Post(server.URL+"/validate/"+policyID, "application/json", strings.NewReader(review()))
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, response.Header.Get("Retry-After") + " " + string(body)
	}
	first := make(chan int)
	go func() {
		status, _ := post("slow")
		first <- status
	}()
	waitFor(t, func() bool { return working(handler) == 1 })

	// One more may wait, for a while; the next one finds no place.
	second := make(chan string)
	go func() {
		_, text := post("accept")
		second <- text
	}()
	waitFor(t, func() bool { return inside(handler) == 2 })
	if status, text := post("accept"); status != 503 || !strings.HasPrefix(text, "1 ") || !strings.Contains(text, "queue full") {
		t.Errorf("got status %d, %q; want 503 with Retry-After because the queue is full", status, text)
	}
	if text := <-second; !strings.HasPrefix(text, "1 ") || !strings.Contains(text, "no worker") {
		t.Errorf("got %q, want Retry-After because no worker came free", text)
	}
	close(evaluator.hold)
	if status := <-first; status != 200 {
		t.Errorf("got status %d for the request that had begun, want 200", status)
	}
	if status, text := post("accept"); status != 200 {
		t.Errorf("got status %d, %q once there is room again; want 200", status, text)
	}
	if diff := gocmp.Diff([]string{"queue full", "no worker"}, busy.overloaded); diff != "" {
		t.Errorf("observed; -want +got:\n%s", diff)
	}
}

func TestHandlerGivesUpWhenTheClientIsGone(t *testing.T) {
	handler, _, _ := newHandler()
	ctx, cancel := context.WithCancel(t.Context())
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/validate/slow", strings.NewReader(review()))
	request.Header.Set("Content-Type", "application/json")
	done := make(chan struct{})
	go func() {
		defer close(done)
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}()
	waitFor(t, func() bool { return working(handler) == 1 })
	cancel()
	<-done
	if working(handler) != 0 {
		t.Error("the worker is not free")
	}
}

func TestHandlerLogsNoBodies(t *testing.T) {
	handler, _, _ := newHandler()
	var output bytes.Buffer
	handler.config.Logger = slog.New(slog.NewTextHandler(&output, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, body := range []string{review(`"object":"hidden"`), `{"hidden":`, `{"request":{"uid":"hidden"}}`} {
		for _, id := range []string{"accept", "no", "broken"} {
			request := httptest.NewRequest(http.MethodPost, "/validate/"+id, strings.NewReader(body))
			request.Header.Set("Content-Type", "application/json")
			handler.ServeHTTP(httptest.NewRecorder(), request)
		}
	}
	if got := output.String(); strings.Contains(got, "hidden") || !strings.Contains(got, "confidential cause") {
		t.Errorf("got log:\n%s\nwant the cause of an internal error and no bodies", got)
	}
}

// waitFor waits for a condition that other goroutines bring about.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("the condition did not come true in 30 s")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestHandlerTellsWhatAVerdictFollowsFrom holds the header that an audit keeps verdicts by.
func TestHandlerTellsWhatAVerdictFollowsFrom(t *testing.T) {
	handler, _, _ := newHandler()
	for id, want := range map[string]string{"repeatable": "0123456789ab", "accept": ""} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/audit/"+id, strings.NewReader(review()))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if got := recorder.Header().Get(contract.HeaderVerdictRevision); recorder.Code != http.StatusOK || got != want {
			t.Errorf("%s: status %d, revision %q; want 200 and %q", id, recorder.Code, got, want)
		}
	}
}
