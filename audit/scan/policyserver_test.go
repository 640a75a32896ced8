package scan

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// evaluator stands in for the policies of a policy server, whose own handler is in front.
type evaluator func(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error)

func (e evaluator) Evaluate(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error) {
	return e(ctx, policyID, request)
}

// overloads counts the requests that a policy server sent away.
type overloads struct{ atomic.Int32 }

func (*overloads) RequestStarted()              {}
func (*overloads) RequestEnded(server.Answered) {}
func (*overloads) WorkStarted(time.Duration)    {}
func (*overloads) WorkEnded()                   {}
func (o *overloads) Overloaded(string)          { o.Add(1) }

func policyServer(observer server.LoadObserver, policies evaluator) http.Handler {
	return server.NewHandler(server.HandlerConfig{
		Evaluator: policies, Observer: observer, MaxBodyBytes: 1 << 20, Workers: 1, QueueLimit: 0, QueueWait: time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
}

// goldenReview is a question as the golden files of this package have it.
func goldenReview(t *testing.T) Review {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "review-pod.json"))
	if err != nil {
		t.Fatal(err)
	}
	return Review{UID: "7c3a1f8e-0000-4000-8000-00000000000a", Body: body}
}

// TestThePolicyServerUnderstandsTheQuestions has the handler of the policy server read
// what a scan sends, and a scan read what it answers.
func TestThePolicyServerUnderstandsTheQuestions(t *testing.T) {
	no, trapped, internal := "label owner is missing", "guest trapped", uint16(http.StatusInternalServerError)
	var got evaluation.Request
	handler := policyServer(&overloads{}, func(_ context.Context, policyID string, request evaluation.Request) (evaluation.Response, error) {
		got = request
		switch policyID {
		case "kw.cap.allows":
			return evaluation.Response{Allowed: true, Patch: []byte(`[]`), Warnings: []string{"w"}}, nil
		case "kw.cap.denies":
			return evaluation.Response{Status: &evaluation.Status{Message: &no}}, nil
		case "kw.cap.traps":
			return evaluation.Response{Status: &evaluation.Status{Message: &trapped, Code: &internal}}, nil
		default:
			return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindUnknownPolicy, Err: errors.New("unknown")}
		}
	})
	url := answers(t, handler.ServeHTTP).URL
	cases := map[string]struct {
		want    Answer
		wantErr string
	}{
		"kw.cap.allows": {want: Answer{Allowed: true}},
		"kw.cap.denies": {want: Answer{Message: no}},
		"kw.cap.traps":  {wantErr: trapped},
		"kw.cap.absent": {wantErr: `unexpected status code: 404 body: {"message":"unknown policy: kw.cap.absent","status":404}`},
	}
	for policyID, tc := range cases {
		t.Run(policyID, func(t *testing.T) {
			answer, err := impatient(http.DefaultTransport).Ask(t.Context(), url, policyID, goldenReview(t))
			if diff := cmp.Diff(tc.want, answer); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || strings.TrimSpace(err.Error()) != tc.wantErr) {
				t.Errorf("error = %v, want %q", err, tc.wantErr)
			}
			words := []string{string(got.Origin), got.UID, got.Namespace, got.Operation, got.Kind}
			if diff := cmp.Diff([]string{string(evaluation.OriginAudit), goldenReview(t).UID, "team-a", "CREATE", "Pod"}, words); diff != "" {
				t.Errorf("what the policy server read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnOverloadedPolicyServerIsAskedAgain(t *testing.T) {
	var sentAway overloads
	busy, free := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	handler := policyServer(&sentAway, func(_ context.Context, policyID string, _ evaluation.Request) (evaluation.Response, error) {
		if policyID == "kw.cap.slow" {
			close(busy)
			<-free
		}
		return evaluation.Response{Allowed: true}, nil
	})
	url := answers(t, func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if sentAway.Load() > 0 {
			release()
		}
	}).URL
	asker := impatient(http.DefaultTransport)
	var work sync.WaitGroup
	work.Go(func() {
		if _, err := asker.Ask(t.Context(), url, "kw.cap.slow", goldenReview(t)); err != nil {
			t.Error(err)
		}
	})
	<-busy
	answer, err := asker.Ask(t.Context(), url, "kw.cap.quick", goldenReview(t))
	if err != nil || !answer.Allowed {
		t.Errorf("answer = %+v, error = %v", answer, err)
	}
	work.Wait()
	if sentAway.Load() == 0 {
		t.Error("the policy server sent nobody away: the test proves nothing")
	}
}
