package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// fakeChecker answers every check alike.
type fakeChecker struct {
	answer contract.SettingsAnswer
	err    error
	hold   chan struct{} // when not nil, a check waits for it
	asked  atomic.Int32
}

func (f *fakeChecker) CheckSettings(ctx context.Context, _ evaluation.SettingsCheck) (contract.SettingsAnswer, error) {
	f.asked.Add(1)
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return contract.SettingsAnswer{}, &evaluation.Error{Kind: evaluation.KindUnavailable, Err: context.Cause(ctx)}
		}
	}
	return f.answer, f.err
}

var moduleDigest = "sha256:" + strings.Repeat("ab", 32)

func TestSettingsEndpoint(t *testing.T) {
	const good = `{"settings":{"n":1}}`
	loaded := strings.TrimPrefix(moduleDigest, "sha256:")
	fail := func(kind evaluation.ErrorKind, text string) error {
		return &evaluation.Error{Kind: kind, Err: errors.New(text)}
	}
	for name, tc := range map[string]struct {
		method, path, body, contentType string
		stranger, off                   bool
		answer                          contract.SettingsAnswer
		err                             error
		wantStatus                      int
		wantBody                        string // a part of it
		wantAsked                       int32
	}{
		"valid":              {answer: contract.SettingsAnswer{Valid: true}, wantStatus: 200, wantBody: `{"valid":true}`, wantAsked: 1},
		"hex alone":          {path: loaded, answer: contract.SettingsAnswer{Valid: true}, wantStatus: 200, wantBody: `{"valid":true}`, wantAsked: 1},
		"escaped":            {path: "sha256%3A" + loaded, answer: contract.SettingsAnswer{Valid: true}, wantStatus: 200, wantAsked: 1},
		"invalid":            {answer: contract.SettingsAnswer{Message: "n is 1"}, wantStatus: 200, wantBody: `{"valid":false,"message":"n is 1"}`, wantAsked: 1},
		"null settings":      {body: `{"settings":null}`, wantStatus: 200, wantAsked: 1},
		"with grants":        {body: `{"settings":{},"policyID":"p","hostCapabilities":["*"],"contextAwareResources":[{"apiVersion":"v1","kind":"Pod"}]}`, wantStatus: 200, wantAsked: 1},
		"not loaded":         {err: fail(evaluation.KindUnknownModule, "no module of digest x is loaded"), wantStatus: 404, wantBody: "no module of digest x is loaded", wantAsked: 1},
		"takes too long":     {err: fail(evaluation.KindUnavailable, "not within 2s"), wantStatus: 503, wantBody: "not within 2s", wantAsked: 1},
		"broken host":        {err: fail(evaluation.KindInternal, "confidential"), wantStatus: 500, wantBody: "Something went wrong", wantAsked: 1},
		"stranger":           {stranger: true, wantStatus: 403, wantBody: "only the operator may have settings checked: a stranger"},
		"stranger, no body":  {stranger: true, body: "{", wantStatus: 403, wantBody: "only the operator"},
		"stranger, no path":  {stranger: true, path: "x", wantStatus: 403, wantBody: "only the operator"},
		"no digest":          {path: "sha256:12", wantStatus: 400, wantBody: `"the digest of a module is \"sha256:12\"; it must be 64 hex digits`},
		"nothing":            {path: "/", wantStatus: 404},
		"deeper":             {path: moduleDigest + "/x", wantStatus: 404},
		"switched off":       {off: true, wantStatus: 404},
		"GET":                {method: http.MethodGet, wantStatus: 405},
		"no JSON":            {body: `{"settings"`, wantStatus: 400, wantBody: "the body is not JSON"},
		"more than one":      {body: good + good, wantStatus: 400, wantBody: "the body is not JSON"},
		"another type":       {contentType: "text/plain", wantStatus: 415},
		"a list":             {body: `[]`, wantStatus: 422, wantBody: "got a list, want an object"},
		"no settings":        {body: `{}`, wantStatus: 422, wantBody: `field \"settings\" is missing`},
		"settings in a list": {body: `{"settings":[1]}`, wantStatus: 422, wantBody: `field \"settings\": got a list, want an object or null`},
		"unknown field":      {body: `{"settings":{},"extra":1}`, wantStatus: 422, wantBody: `unknown field \"extra\"; allowed are`},
		"wrong grants":       {body: `{"settings":{},"hostCapabilities":["oci/*/x"]}`, wantStatus: 422, wantBody: "hostCapabilities: "},
		"too large":          {body: `{"settings":{"a":"` + strings.Repeat("x", 1000) + `"}}`, wantStatus: 413, wantBody: "length limit exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _, busy := newHandler()
			checker := &fakeChecker{answer: tc.answer, err: tc.err}
			handler.config.Settings = &Settings{Checker: checker, IsOperator: func(*tls.ConnectionState) error { return nil }}
			if tc.stranger {
				handler.config.Settings.IsOperator = func(*tls.ConnectionState) error { return errors.New("a stranger") }
			}
			if tc.off {
				handler.config.Settings = nil
			}
			request := httptest.NewRequest(cmp.Or(tc.method, http.MethodPost), contract.PathValidateSettings+cmp.Or(tc.path, moduleDigest), strings.NewReader(cmp.Or(tc.body, good)))
			request.Header.Set("Content-Type", cmp.Or(tc.contentType, "application/json"))
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if recorder.Code != tc.wantStatus || !strings.Contains(recorder.Body.String(), tc.wantBody) {
				t.Errorf("got %d %s; want %d and %s", recorder.Code, recorder.Body, tc.wantStatus, tc.wantBody)
			}
			if got := checker.asked.Load(); got != tc.wantAsked {
				t.Errorf("the module was asked %d times, want %d", got, tc.wantAsked)
			}
			checkRetryAfter(t, recorder)
			checkLeftovers(t, handler, busy, fmt.Sprint("settings ", tc.wantStatus))
		})
	}
}

// checkLeftovers wants no place or worker taken, and nothing else told of the one request.
func checkLeftovers(t *testing.T, handler *Handler, busy *loadCount, want string) {
	t.Helper()
	if busy.busy != 0 || busy.inFlight != 0 || anybody(handler) {
		t.Errorf("got %+v; want nothing left behind", busy)
	}
	for _, answered := range busy.answered {
		if answered != want {
			t.Errorf("the observer was told %q, want %q", answered, want)
		}
	}
}

// Checks wait in the same queue as requests for a verdict, and take the same workers.
func TestSettingsEndpointWaitsItsTurn(t *testing.T) {
	handler, evaluator, busy := newHandler()
	handler.config.Settings = &Settings{Checker: &fakeChecker{}, IsOperator: func(*tls.ConnectionState) error { return nil }}
	post := func(path, body string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder
	}
	first := make(chan int)
	go func() { first <- post("/validate/slow", review()).Code }()
	waitFor(t, func() bool { return working(handler) == 1 })
	if got := post(contract.PathValidateSettings+moduleDigest, `{"settings":{}}`); got.Code != 503 || !strings.Contains(got.Body.String(), "no worker") {
		t.Errorf("got %d %s while the one worker is busy, want 503", got.Code, got.Body)
	}
	close(evaluator.hold)
	if got := <-first; got != 200 {
		t.Errorf("got %d for the verdict, want 200", got)
	}
	if len(busy.overloaded) != 1 || busy.overloaded[0] != "no worker" {
		t.Errorf("the observer was told %q, want one request without a worker", busy.overloaded)
	}
}

// The operator says how long it waits, as API servers do.
func TestSettingsEndpointStopsWhenNobodyWaits(t *testing.T) {
	handler, _, _ := newHandler()
	checker := &fakeChecker{hold: make(chan struct{})}
	handler.config.Settings = &Settings{Checker: checker, IsOperator: func(*tls.ConnectionState) error { return nil }}
	request := httptest.NewRequest(http.MethodPost, contract.PathValidateSettings+moduleDigest+"?timeout=20ms", strings.NewReader(`{"settings":{}}`))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	if recorder.Code != 503 {
		t.Errorf("got %d %s, want 503", recorder.Code, recorder.Body)
	}
}

func postSettings(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	url := "https://" + address + contract.PathValidateSettings + moduleDigest
	response, err := client.Post(url, "application/json", bytes.NewReader([]byte(`{"settings":{}}`)))
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}
