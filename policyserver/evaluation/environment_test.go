package evaluation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestEvaluate(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		entry   contract.Entry
		want    string
		tookAll time.Duration
	}{
		"accepts":                   {content: "accept", want: "allowed"},
		"rejects":                   {content: "no", want: "no {}"},
		"custom message":            {content: "no", entry: contract.Entry{Message: "custom"}, want: "custom"},
		"monitor":                   {content: "no", entry: contract.Entry{PolicyMode: contract.ModeMonitor}, want: "allowed"},
		"traps":                     {content: "trap", want: "trapped"},
		"hangs to the default":      {content: "hang", want: "too slow", tookAll: 2 * time.Second},
		"hangs to a timeout of its": {content: "hang", entry: contract.Entry{TimeoutEvalSeconds: new(int32(7))}, want: "too slow", tookAll: 7 * time.Second},
		"host fails":                {content: "internal", want: "error: host broke"},
		"engine is closed":          {content: "closed", want: "error: closed"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				t := w.t
				w.serve("m", tc.content)
				tc.entry.Module = "m"
				w.applyAndWait(entries(contract.Policies{"a": tc.entry}))
				began := time.Now()
				want(t, w, "a", tc.want)
				if took := time.Since(began); took != tc.tookAll {
					t.Errorf("took %s, want %s", took, tc.tookAll)
				}
			})
		})
	}
}

func TestEvaluateErrorKinds(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("internal", "internal")
		w.serve("closed", "closed")
		w.applyAndWait(entries(contract.Policies{"internal": {Module: "internal"}, "closed": {Module: "closed"}}))
		for id, want := range map[string]ErrorKind{"internal": KindInternal, "closed": KindUnavailable, "absent": KindUnknownPolicy} {
			_, err := w.Evaluate(t.Context(), id, Request{Origin: OriginValidate})
			var got *Error
			if !errors.As(err, &got) || got.Kind != want {
				t.Errorf("%s: got %v, want kind %d", id, err, want)
			}
		}
	})
}

func TestEvaluatePolicyThatFailedToLoad(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("broken", "broken")
		w.applyAndWait(entries(contract.Policies{
			"protects": {Module: "broken"}, "monitors": {Module: "broken", PolicyMode: contract.ModeMonitor},
		}))
		for id, wantAllowed := range map[string]bool{"protects": false, "monitors": true} {
			got, err := w.Evaluate(t.Context(), id, Request{Origin: OriginValidate})
			if err != nil || got.Allowed != wantAllowed {
				t.Errorf("%s: got %+v, error %v; want allowed %t", id, got, err, wantAllowed)
			}
		}
		got, err := w.Evaluate(t.Context(), "monitors", Request{Origin: OriginAudit})
		if err != nil || got.Allowed || got.Status == nil || *got.Status.Code != 500 {
			t.Errorf("audit: got %+v, error %v; want the failure with code 500", got, err)
		}
		if diff := cmp.Diff([]contract.Reason{contract.ReasonInvalidModule, contract.ReasonInvalidModule, contract.ReasonInvalidModule}, w.refused); diff != "" {
			t.Errorf("observed; -want +got:\n%s", diff)
		}
	})
}

func TestEvaluateAcceptsANamespace(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("m", "no")
		w.serve("broken", "broken")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}, "failed": {Module: "broken"}}))
		for name, tc := range map[string]struct {
			id        string
			origin    Origin
			namespace string
			want      bool
		}{
			"the namespace":           {"a", OriginValidate, "exempt", true},
			"the namespace, audit":    {"a", OriginAudit, "exempt", true},
			"the namespace, raw":      {"a", OriginRaw, "exempt", false},
			"another namespace":       {"a", OriginValidate, "other", false},
			"policy that is not here": {"failed", OriginValidate, "exempt", true},
		} {
			got, err := w.Evaluate(t.Context(), tc.id, Request{Origin: tc.origin, Namespace: tc.namespace})
			if err != nil || got.Allowed != tc.want {
				t.Errorf("%s: got allowed %t, error %v; want %t", name, got.Allowed, err, tc.want)
			}
		}
		if _, err := w.Evaluate(t.Context(), "absent", Request{Origin: OriginValidate, Namespace: "exempt"}); err == nil {
			t.Error("got no error for a policy that does not exist")
		}
	})
}

func TestEvaluateObservesThePolicysOwnVerdict(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("m", "trap")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", PolicyMode: contract.ModeMonitor}}))
		request := Request{Origin: OriginValidate, Kind: "Pod", Operation: "CREATE", Namespace: "team"}
		if _, err := w.Evaluate(t.Context(), "a", request); err != nil {
			t.Fatal(err)
		}
		want := []Evaluation{{
			PolicyID: "a", Mode: contract.ModeMonitor, Origin: OriginValidate,
			Kind: "Pod", Operation: "CREATE", Namespace: "team", Code: new(uint16(500)),
		}}
		if diff := cmp.Diff(want, w.observed, cmpopts.IgnoreFields(Evaluation{}, "Latency")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestEvaluateLogsDecisionsWithoutBodies(t *testing.T) {
	for name, tc := range map[string]struct {
		mode    contract.Mode
		level   slog.Level
		want    string
		wantNot string
	}{
		"monitor at info":  {contract.ModeMonitor, slog.LevelInfo, `"msg":"policy evaluation (monitor mode)","policy_id":"a","allowed_to_mutate":false`, ""},
		"which object":     {contract.ModeMonitor, slog.LevelInfo, `"namespace":"team","name":"web"`, ""},
		"protect at debug": {contract.ModeProtect, slog.LevelDebug, `"msg":"policy evaluation","policy_id":"a"`, ""},
		"protect at info":  {contract.ModeProtect, slog.LevelInfo, "", "policy evaluation"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var output bytes.Buffer
				w := newWorld(t)
				w.config.Logger = slog.New(slog.NewJSONHandler(&output, &slog.HandlerOptions{Level: tc.level}))
				w.run()
				w.serve("m", "trap")
				w.applyAndWait(entries(contract.Policies{"a": {Module: "m", PolicyMode: tc.mode, Settings: json.RawMessage(`{"key":"confidential"}`)}}))
				request := Request{
					Origin: OriginValidate, Namespace: "team", Name: "web",
					Document: json.RawMessage(`{"object":"confidential"}`), Object: json.RawMessage(`"confidential"`),
				}
				if _, err := w.Evaluate(t.Context(), "a", request); err != nil {
					t.Fatal(err)
				}
				got := output.String()
				if !strings.Contains(got, tc.want) || (tc.wantNot != "" && strings.Contains(got, tc.wantNot)) || strings.Contains(got, "confidential") {
					t.Errorf("got log %s, want %q and not %q", got, tc.want, tc.wantNot)
				}
			})
		})
	}
}

// Settings are swapped while many requests run: each must be answered, by one of the
// revisions that were ever wanted, and never by a module that was closed.
func TestEvaluateDuringSwaps(t *testing.T) {
	w := newWorld(t)
	w.run()
	for i := range 3 {
		w.serve(fmt.Sprint("m", i), fmt.Sprint("m", i))
	}
	w.loader.Apply(entries(contract.Policies{"a": {Module: "m0", Settings: settings("0")}}))
	eventually(t, func() bool { return !strings.HasPrefix(w.ask(t, "a"), "error: ") })
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := w.ask(t, "a"); !strings.HasPrefix(got, "m") || !strings.Contains(got, `{"say":"`) {
					t.Errorf("got %q, want the answer of one of the revisions", got)
					return
				}
			}
		})
	}
	for i := range 300 {
		entry := contract.Entry{Module: fmt.Sprint("m", i%3), Settings: settings(fmt.Sprint(i))}
		w.loader.Apply(entries(contract.Policies{"a": entry}))
		if i%10 == 9 {
			last := fmt.Sprintf(`m%d {"say":"%d"}`, i%3, i)
			eventually(t, func() bool { return w.ask(t, "a") == last })
		}
	}
	close(stop)
	clients.Wait()
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("the condition did not come true in 30 s")
		case <-time.After(100 * time.Microsecond):
		}
	}
}
