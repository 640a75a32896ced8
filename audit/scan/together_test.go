package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// paths notes the paths of requests.
type paths struct {
	mu   sync.Mutex
	seen []string
}

func (p *paths) of(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.URL.Path)
		p.mu.Unlock()
		next.ServeHTTP(w, r)
	}
}

func (p *paths) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := 0
	for _, seen := range p.seen {
		if seen == path {
			count++
		}
	}
	return count
}

// alone are the policies that were asked alone.
func (p *paths) alone() (policyIDs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, path := range p.seen {
		if id, found := strings.CutPrefix(path, contract.PathAudit); found {
			policyIDs = append(policyIDs, id)
		}
	}
	return policyIDs
}

// instead has another handler at contract.PathAudits.
func instead(other http.HandlerFunc, policies http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == contract.PathAudits {
			other(w, r)
			return
		}
		policies.ServeHTTP(w, r)
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func answersWith(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contract.TypeAudits)
		_, _ = io.WriteString(w, text)
	}
}

// judges are policies that answer in every way there is.
func judges(_ context.Context, policyID string, _ evaluation.Request) (evaluation.Response, error) {
	no, trapped, internal := "label owner is <missing> \u2028", "guest trapped", uint16(http.StatusInternalServerError)
	switch policyID {
	case "allows":
		return evaluation.Response{Allowed: true, Patch: []byte(`[]`), Warnings: []string{"w"}, Revision: "0123456789ab"}, nil
	case "denies":
		return evaluation.Response{Status: &evaluation.Status{Message: &no}, Revision: "ba9876543210"}, nil
	case "traps":
		return evaluation.Response{Status: &evaluation.Status{Message: &trapped, Code: &internal}}, nil
	case "panics":
		panic("a panic")
	case "breaks":
		return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindInternal, Err: errors.New("broken")}
	case "loads":
		return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindUnavailable, Err: errors.New("it is being loaded")}
	default:
		return evaluation.Response{}, &evaluation.Error{Kind: evaluation.KindUnknownPolicy, Err: errors.New("unknown")}
	}
}

var everyJudge = []string{"allows", "denies", "traps", "absent", "panics", "breaks", "loads", "a/b/c", "allows"}

// errorText compares errors by what a report would say of them.
var errorText = cmp.Transformer("text", func(err error) string { return fmt.Sprint(err) })

// TestPoliciesSayTogetherWhatTheySayAlone has the handler of a policy server asked in both ways.
func TestPoliciesSayTogetherWhatTheySayAlone(t *testing.T) {
	var asked paths
	url := answers(t, asked.of(policyServer(&overloads{}, judges))).URL
	short := func() *Asker {
		asker := impatient(http.DefaultTransport)
		asker.busyFor = 0
		return asker
	}
	want := make([]Said, 0, len(everyJudge))
	for _, id := range everyJudge {
		answer, err := short().Ask(t.Context(), url, id, goldenReview(t))
		want = append(want, Said{answer, err})
	}
	asked.seen = nil
	got := short().AskTogether(t.Context(), url, everyJudge, goldenReview(t))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Err" }, errorText)); diff != "" {
		t.Errorf("-alone +together:\n%s", diff)
	}
	if diff := cmp.Diff([]string{contract.PathAudits}, asked.seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if asked.seen = nil; short().AskTogether(t.Context(), url, everyJudge[:1], goldenReview(t))[0].Err != nil || asked.count(contract.PathAudits) > 0 {
		t.Errorf("one policy was asked by %v", asked.seen)
	}
}

func TestOnlyPoliciesWhoseFailureMayPassAreAskedAgain(t *testing.T) {
	var mu sync.Mutex
	times := map[string]int{}
	url := answers(t, policyServer(&overloads{}, func(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		times[policyID]++
		if policyID == "loads" && times[policyID] == 3 {
			policyID = "allows"
		}
		return judges(ctx, policyID, request)
	}).ServeHTTP).URL
	said := impatient(http.DefaultTransport).AskTogether(t.Context(), url, []string{"denies", "loads", "absent"}, goldenReview(t))
	if said[1].Err != nil || !said[1].Allowed || said[0].Allowed || said[2].Err == nil {
		t.Errorf("said %+v", said)
	}
	if diff := cmp.Diff(map[string]int{"denies": 1, "loads": 3, "absent": 1}, times); diff != "" {
		t.Errorf("how often policies were asked (-want +got):\n%s", diff)
	}
}

// A policy server that does not know how to be asked about several policies is not asked so
// again.
func TestOtherPolicyServersAreAskedPolicyByPolicy(t *testing.T) {
	for name, other := range map[string]http.HandlerFunc{
		"not found":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"method not allowed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"taken for a policy": says(`{"response":{"uid":"x","allowed":true}}`),
	} {
		t.Run(name, func(t *testing.T) {
			var asked paths
			url := answers(t, asked.of(instead(other, policyServer(&overloads{}, judges)))).URL
			asker := impatient(http.DefaultTransport)
			for range 3 {
				said := asker.AskTogether(t.Context(), url, []string{"allows", "denies"}, goldenReview(t))
				if said[0].Err != nil || !said[0].Allowed || said[1].Err != nil || said[1].Allowed {
					t.Errorf("said %+v", said)
				}
			}
			if together, alone := asked.count(contract.PathAudits), asked.count(contract.PathAudit+"allows"); together != 1 || alone != 3 {
				t.Errorf("asked %d times together and %d times alone, want 1 and 3", together, alone)
			}
			if asker.AsksTogether(url) || !asker.AsksTogether(url+"/other") {
				t.Error("what holds for a server is not remembered, or held against another one")
			}
		})
	}
}

// Whoever is not answered for is asked alone: its fault must not be told of others.
func TestPoliciesWithoutAnAnswerAreAskedAlone(t *testing.T) {
	line := func(policy, body string) string {
		return `{"policy":"` + policy + `","status":200,"body":` + body + "}\n"
	}
	fine := `{"response":{"uid":"` + goldenReview(t).UID + `","allowed":true}}`
	for name, tc := range map[string]struct {
		answer string
		alone  []string
	}{
		"all there":             {line("a", fine) + line("b", fine) + line("c", fine), nil},
		"one is missing":        {line("a", fine) + line("b", fine), []string{"c"}},
		"cut within a line":     {line("a", fine) + line("b", fine)[:20], []string{"b", "c"}},
		"of another policy":     {line("a", fine) + line("c", fine) + line("b", fine), []string{"b", "c"}},
		"not to be read":        {line("a", fine) + "hello\n" + line("c", fine), []string{"b", "c"}},
		"without a status":      {line("a", fine) + `{"policy":"b","body":{}}` + "\n" + line("c", fine), []string{"b", "c"}},
		"nothing":               {"", []string{"a", "b", "c"}},
		"too large":             {line("a", fine) + line("b", `"`+strings.Repeat(" ", maxAnswer)+`"`) + line("c", fine), []string{"b", "c"}},
		"more than was asked":   {line("a", fine) + line("b", fine) + line("c", fine) + line("d", fine), nil},
		"an error of one alone": {line("a", `{}`) + line("b", fine) + line("c", fine), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var asked paths
			url := answers(t, asked.of(instead(answersWith(tc.answer), says(fine)))).URL
			said := impatient(http.DefaultTransport).AskTogether(t.Context(), url, []string{"a", "b", "c"}, goldenReview(t))
			if diff := cmp.Diff(tc.alone, asked.alone()); diff != "" {
				t.Errorf("asked alone (-want +got):\n%s", diff)
			}
			for i, one := range said {
				if broken := name == "an error of one alone" && i == 0; (one.Err != nil) != broken || one.Allowed == broken {
					t.Errorf("policy %d said %+v", i, one)
				}
			}
		})
	}
}

// What keeps a server from answering is told of each policy.
func TestFailuresOfAServerAreThoseOfAllPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}, "unexpected status code: 413 body: too large\n"},
		"no room": {func(w http.ResponseWriter, _ *http.Request) { busy("0")(w) }, "unexpected status code: 503 body: "},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) { breakOff(w) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			asker := impatient(&http.Transport{DisableKeepAlives: true})
			asker.busyFor = 0
			said := asker.AskTogether(t.Context(), answers(t, tc.handler).URL, []string{"a", "b"}, goldenReview(t))
			for _, one := range said {
				if one.Err == nil || !strings.Contains(one.Err.Error(), tc.want) {
					t.Errorf("error = %v, want %q", one.Err, tc.want)
				}
			}
		})
	}
}

// The end of a scan is the end of all questions, and a server that does not answer is left to
// its breaker.
func TestQuestionsTogetherEnd(t *testing.T) {
	asker := impatient(http.DefaultTransport)
	ctx, cancel := context.WithCancel(t.Context())
	url := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		busy("60")(w)
	}).URL
	for _, one := range asker.AskTogether(ctx, url, []string{"a", "b"}, goldenReview(t)) {
		if !errors.Is(one.Err, context.Canceled) {
			t.Errorf("error = %v", one.Err)
		}
	}
	lane := asker.lanes.of(url)
	for range breakAfter {
		lane.breaker.record(&passingError{err: errors.New("gone"), unreachable: true})
	}
	for _, one := range asker.AskTogether(t.Context(), url, []string{"a", "b"}, goldenReview(t)) {
		if one.Err == nil || one.Err.Error() != "the policy server does not answer: gone" {
			t.Errorf("error = %v", one.Err)
		}
	}
	if lane.inside != 0 {
		t.Errorf("%d places of the lane are taken", lane.inside)
	}
}

// A policy that takes too long is found out alone; the time begins anew with each answer.
func TestSilenceIsBrokenByAskingAlone(t *testing.T) {
	asker := impatient(http.DefaultTransport)
	asker.askTimeout = 200 * time.Millisecond
	fine := `{"response":{"uid":"` + goldenReview(t).UID + `","allowed":true}}`
	var asked paths
	url := answers(t, asked.of(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != contract.PathAudits {
			_, _ = io.WriteString(w, fine)
			return
		}
		w.Header().Set("Content-Type", contract.TypeAudits)
		_, _ = io.WriteString(w, `{"policy":"a","status":200,"body":`+fine+"}\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))).URL
	said := asker.AskTogether(t.Context(), url, []string{"a", "b"}, goldenReview(t))
	if said[0].Err != nil || said[1].Err != nil {
		t.Errorf("said %+v", said)
	}
	if want := []string{contract.PathAudits, contract.PathAudit + "b"}; !slices.Equal(asked.seen, want) {
		t.Errorf("requests %q, want %q", asked.seen, want)
	}
}

// A server that says nothing at all may be held up by one policy: nobody else is to suffer.
func TestPoliciesOfASilentServerAreAskedAlone(t *testing.T) {
	asker := impatient(http.DefaultTransport)
	asker.askTimeout = 200 * time.Millisecond
	var asked paths
	url := answers(t, asked.of(instead(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the end of the request is seen
		<-r.Context().Done()
	}, says(`{"response":{"uid":"`+goldenReview(t).UID+`","allowed":true}}`)))).URL
	for _, one := range asker.AskTogether(t.Context(), url, []string{"a", "b"}, goldenReview(t)) {
		if one.Err != nil || !one.Allowed {
			t.Errorf("said %+v", one)
		}
	}
	if asked.count(contract.PathAudits) != 1 || !asker.AsksTogether(url) {
		t.Errorf("requests %q", asked.seen)
	}
}

func TestEachPieceOfAnAnswerBuysTime(t *testing.T) {
	timer := time.NewTimer(time.Hour)
	body := &patient{strings.NewReader("x"), timer, 0}
	if n, err := body.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	<-timer.C
}

// Questions together are as many questions at once as they would be alone.
func TestQuestionsTogetherTakeAsManyPlaces(t *testing.T) {
	asker := impatient(http.DefaultTransport)
	var base string
	var places atomic.Int64
	base = answers(t, func(w http.ResponseWriter, _ *http.Request) {
		lane := asker.lanes.of(base)
		lane.mu.Lock()
		defer lane.mu.Unlock()
		places.Store(int64(lane.inside))
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}).URL
	asker.AskTogether(t.Context(), base, []string{"a", "b", "c"}, goldenReview(t))
	if places.Load() != 3 || asker.lanes.of(base).inside != 0 {
		t.Errorf("%d places were taken, want 3", places.Load())
	}
}
