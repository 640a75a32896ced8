package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// post sends a review to a path of a handler.
func post(handler http.Handler, path, contentType, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

// answersOf are the lines of an answer.
func answersOf(t *testing.T, recorder *httptest.ResponseRecorder) []contract.AuditAnswer {
	t.Helper()
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != contract.TypeAudits {
		t.Fatalf("got status %d, type %q, %s", recorder.Code, recorder.Header().Get("Content-Type"), recorder.Body)
	}
	var answers []contract.AuditAnswer
	for line := range bytes.Lines(recorder.Body.Bytes()) {
		answer, err := contract.DecodeAuditAnswer(line)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	return answers
}

// alone is what contract.PathAudit answers for a policy.
func alone(policyID string) contract.AuditAnswer {
	handler, _, _ := newHandler()
	recorder := post(handler, contract.PathAudit+strings.ReplaceAll(policyID, "/", "%2F"), "application/json", review())
	answer := contract.AuditAnswer{
		Policy: policyID, Status: recorder.Code, Revision: recorder.Header().Get(contract.HeaderVerdictRevision), Body: recorder.Body.Bytes(),
	}
	_, _ = fmt.Sscan(recorder.Header().Get("Retry-After"), &answer.RetryAfter)
	return answer
}

func TestPoliciesAnswerTogetherAsTheyDoAlone(t *testing.T) {
	ids := []string{"accept", "repeatable", "no", "loading", "broken", "panics", "a/b/c", "group/member", "accept"}
	want := make([]contract.AuditAnswer, 0, len(ids))
	statuses := make([]string, 0, len(ids))
	for _, id := range ids {
		want = append(want, alone(id))
		statuses = append(statuses, fmt.Sprint("audit ", want[len(want)-1].Status))
	}
	handler, evaluator, busy := newHandler()
	got := answersOf(t, post(handler, contract.AuditsQuery(ids), "application/json", review()))
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("answers; -alone +together:\n%s", diff)
	}
	if diff := gocmp.Diff(statuses, busy.answered); diff != "" {
		t.Errorf("what the observer was told; -alone +together:\n%s", diff)
	}
	for _, request := range evaluator.requests {
		if diff := gocmp.Diff(evaluator.requests[0], request); diff != "" {
			t.Errorf("policies were asked differently:\n%s", diff)
		}
	}
	if busy.busy != 0 || busy.inFlight != 0 || anybody(handler) {
		t.Errorf("got %+v, %d places, %d workers taken; want none left behind", busy, inside(handler), working(handler))
	}
}

func TestWhatIsWrongWithAnObjectIsToldOnce(t *testing.T) {
	for name, tc := range map[string]struct{ contentType, body string }{
		"no JSON":       {"text/plain", review()},
		"malformed":     {"application/json", `{`},
		"another shape": {"application/json", `{}`},
		"too large":     {"application/json", strings.Repeat(" ", 1001)},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _, busy := newHandler()
			got := post(handler, contract.AuditsQuery([]string{"accept", "repeatable"}), tc.contentType, tc.body)
			alone, _, _ := newHandler()
			want := post(alone, contract.PathAudit+"accept", tc.contentType, tc.body)
			if got.Code != want.Code || got.Body.String() != want.Body.String() || got.Header().Get("Content-Type") != want.Header().Get("Content-Type") {
				t.Errorf("got  %d %v %s\nwant %d %v %s", got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
			}
			busy.check(t, want.Code)
		})
	}
}

func TestAuditsNameTheirPolicies(t *testing.T) {
	for name, tc := range map[string]struct{ path, method, want string }{
		"none":             {path: contract.PathAudits, want: "400 the query names 0 policies as policy, allowed are 1 to 64"},
		"too many":         {path: contract.AuditsQuery(make([]string, contract.MaxAudits+1)), want: "400 the query names 65 policies as policy, allowed are 1 to 64"},
		"as many as can":   {path: contract.AuditsQuery(make([]string, contract.MaxAudits)), want: "200 "},
		"unreadable":       {path: contract.PathAudits + "?policy=%", want: `400 the query cannot be read: invalid URL escape "%"`},
		"another method":   {path: contract.PathAudits, method: http.MethodGet, want: "405 "},
		"behind the path":  {path: contract.PathAudits + "/accept", want: "404 "},
		"for API servers?": {path: "/validates?policy=accept", want: "404 "},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _, _ := newHandler()
			request := httptest.NewRequest(cmp.Or(tc.method, http.MethodPost), tc.path, strings.NewReader(review()))
			request.Header.Set("Content-Type", "application/json")
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if got := fmt.Sprint(recorder.Code, " ", recorder.Body); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// An object that several policies are asked about has one worker at a time, and gives it back
// to a request that somebody waits for.
func TestAnAdmissionRequestComesBeforeTheNextPolicy(t *testing.T) {
	handler, evaluator, _ := newHandler()
	handler.queue = newQueue(1, 8, time.Hour)
	var work sync.WaitGroup
	work.Go(func() {
		answersOf(t, post(handler, contract.AuditsQuery([]string{"slow", "accept", "repeatable"}), "application/json", review()))
	})
	waitFor(t, func() bool { return working(handler) == 1 })
	work.Go(func() {
		if recorder := post(handler, contract.PathValidate+"accept", "application/json", review()); recorder.Code != http.StatusOK {
			t.Errorf("got %d %s", recorder.Code, recorder.Body)
		}
	})
	waitFor(t, func() bool {
		handler.queue.mu.Lock()
		defer handler.queue.mu.Unlock()
		return len(handler.queue.waiting) == 1
	})
	if inside(handler) != 2 {
		t.Errorf("%d places are taken, want one for an object and one for a request", inside(handler))
	}
	close(evaluator.hold)
	work.Wait()
	origins := make([]string, 0, len(evaluator.requests))
	for _, request := range evaluator.requests {
		origins = append(origins, string(request.Origin))
	}
	if diff := gocmp.Diff([]string{"audit", "validate", "audit", "audit"}, origins); diff != "" {
		t.Errorf("order of evaluations; -want +got:\n%s", diff)
	}
}

// Audits do not interrupt each other: nobody waits for them, and a policy that was just asked is
// asked again at less cost.
func TestAnObjectKeepsItsWorkerFromOtherAudits(t *testing.T) {
	handler, evaluator, _ := newHandler()
	handler.queue = newQueue(1, 8, time.Hour)
	var work sync.WaitGroup
	work.Go(func() {
		answersOf(t, post(handler, contract.AuditsQuery([]string{"slow", "accept"}), "application/json", review()))
	})
	waitFor(t, func() bool { return working(handler) == 1 })
	work.Go(func() {
		if recorder := post(handler, contract.PathAudit+"no", "application/json", review(`"dryRun":true`)); recorder.Code != http.StatusNotFound {
			t.Errorf("got %d %s", recorder.Code, recorder.Body)
		}
	})
	waitFor(t, func() bool {
		handler.queue.mu.Lock()
		defer handler.queue.mu.Unlock()
		return len(handler.queue.waitingAudits) == 1
	})
	close(evaluator.hold)
	work.Wait()
	if last := string(evaluator.requests[2].Document); !strings.Contains(last, "dryRun") {
		t.Errorf("the last evaluation is about %s, want the other audit", last)
	}
	if anybody(handler) {
		t.Errorf("%d places, %d workers are taken", inside(handler), working(handler))
	}
}

// Whoever reads slowly has no worker meanwhile.
func TestAnswersAreSentWithoutAWorker(t *testing.T) {
	handler, _, _ := newHandler()
	writer := &watchful{ResponseRecorder: httptest.NewRecorder(), look: func() {
		if working(handler) != 0 {
			t.Error("a worker waits until answers are sent")
		}
	}}
	times := int64(0)
	handler.config.Now = func() time.Time { // a second passes each time that somebody looks
		times++
		return time.Unix(times, 0)
	}
	request := httptest.NewRequest(http.MethodPost, contract.AuditsQuery([]string{"accept", "repeatable"}), strings.NewReader(review()))
	request.Header.Set("Content-Type", "application/json")
	handler.ServeHTTP(writer, request)
	if writer.writes < 2 || len(answersOf(t, writer.ResponseRecorder)) != 2 {
		t.Errorf("%d writes, %s", writer.writes, writer.Body)
	}
}

// watchful looks around at each write.
type watchful struct {
	*httptest.ResponseRecorder

	look   func()
	writes int
}

func (w *watchful) Write(body []byte) (int, error) {
	w.look()
	w.writes++
	return w.ResponseRecorder.Write(body)
}

// Where no worker comes free, one wait is enough for all policies.
func TestPoliciesWithoutAWorkerAreSentAwayTogether(t *testing.T) {
	handler, evaluator, busy := newHandler()
	var work sync.WaitGroup
	work.Go(func() { post(handler, contract.PathValidate+"slow", "application/json", review()) })
	waitFor(t, func() bool { return working(handler) == 1 })
	handler.queue.wait = time.Millisecond
	ids := []string{"accept", "repeatable", "no"}
	for i, answer := range answersOf(t, post(handler, contract.AuditsQuery(ids), "application/json", review())) {
		want := contract.AuditAnswer{Policy: ids[i], Status: 503, RetryAfter: 1, Body: []byte(`{"message":"the policy server is overloaded: no worker","status":503}`)}
		if diff := gocmp.Diff(want, answer); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if len(busy.overloaded) != len(ids) {
		t.Errorf("the observer was told of %q, want one of each policy", busy.overloaded)
	}
	handler.queue = newQueue(1, 0, time.Hour)
	handler.queue.enter(true)
	full := post(handler, contract.AuditsQuery(ids), "application/json", review())
	if full.Code != http.StatusServiceUnavailable || full.Header().Get("Retry-After") != "1" || !strings.Contains(full.Body.String(), "queue full") {
		t.Errorf("without a place: got %d %v %s", full.Code, full.Header(), full.Body)
	}
	close(evaluator.hold)
	work.Wait()
}

// The policies after the one at which the sender went away are not asked.
func TestNobodyIsAskedForSomebodyWhoIsGone(t *testing.T) {
	handler, evaluator, _ := newHandler()
	ctx, leave := context.WithCancel(t.Context())
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, contract.AuditsQuery([]string{"slow", "accept"}), strings.NewReader(review()))
	request.Header.Set("Content-Type", "application/json")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}()
	waitFor(t, func() bool { return working(handler) == 1 })
	leave()
	<-ended
	if len(evaluator.requests) != 1 || anybody(handler) {
		t.Errorf("%d policies were asked; %d inside", len(evaluator.requests), inside(handler))
	}
}
