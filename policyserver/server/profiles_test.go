package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func profile(t *testing.T, handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

// isProfile says whether a body is what pprof reads: compressed protobuf that is not empty.
func isProfile(t *testing.T, body []byte) bool {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return false
	}
	content, err := io.ReadAll(reader)
	return err == nil && len(content) > 0
}

func TestProfiles(t *testing.T) {
	var waited time.Duration
	handler := &profiles{next: http.NotFoundHandler(), wait: func(_ context.Context, duration time.Duration) { waited = duration }}
	for path, name := range map[string]string{"/debug/pprof/heap": "heap_profile", "/debug/pprof/cpu?frequency=99&interval=2": "cpu_profile"} {
		got := profile(t, handler, httptest.NewRequest(http.MethodGet, path, nil))
		if got.Code != 200 || !isProfile(t, got.Body.Bytes()) || got.Header().Get("Content-Type") != "application/octet-stream" ||
			got.Header().Get("Content-Disposition") != `attachment; filename="`+name+`"` {
			t.Errorf("%s: got status %d, header %v, want a profile", path, got.Code, got.Header())
		}
	}
	if waited != 2*time.Second {
		t.Errorf("watched the processor for %s, want the interval", waited)
	}
}

func TestProfilesOneAtATime(t *testing.T) {
	began, leave := make(chan struct{}), make(chan struct{})
	handler := &profiles{next: http.NotFoundHandler(), wait: func(ctx context.Context, _ time.Duration) {
		began <- struct{}{}
		<-ctx.Done()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(leave)
		profile(t, handler, httptest.NewRequest(http.MethodGet, "/debug/pprof/cpu", nil).WithContext(ctx))
	}()
	<-began
	if got := profile(t, handler, httptest.NewRequest(http.MethodGet, "/debug/pprof/cpu", nil)); got.Code != 500 {
		t.Errorf("got status %d beside another profile, want 500", got.Code)
	}
	cancel()
	<-leave
	stopping := make(chan struct{})
	if got := profile(t, WithProfiles(nil, stopping), httptest.NewRequest(http.MethodGet, "/debug/pprof/cpu", nil).WithContext(ctx)); got.Code != 200 {
		t.Errorf("got status %d for somebody who has left, want 200", got.Code)
	}
	close(stopping)
	if got := profile(t, WithProfiles(nil, stopping), httptest.NewRequest(http.MethodGet, "/debug/pprof/cpu", nil)); got.Code != 200 {
		t.Errorf("got status %d from a server that stops, want what it has", got.Code)
	}
}

func TestProfilesRefuse(t *testing.T) {
	handler := WithProfiles(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) { writer.WriteHeader(http.StatusTeapot) }), nil)
	for name, tc := range map[string]struct {
		method, path string
		status       int
		want         string
	}{
		"another path":       {http.MethodGet, "/debug/pprof/goroutine", http.StatusTeapot, ""},
		"another method":     {http.MethodPost, "/debug/pprof/heap", http.StatusMethodNotAllowed, ""},
		"an endless profile": {http.MethodGet, "/debug/pprof/cpu?interval=301", http.StatusBadRequest, `interval is "301"; allowed are whole numbers from 1 to 300`},
		"no frequency":       {http.MethodGet, "/debug/pprof/cpu?frequency=often", http.StatusBadRequest, `frequency is "often"; allowed are whole numbers from 1 to 1000`},
	} {
		got := profile(t, handler, httptest.NewRequest(tc.method, tc.path, nil))
		if got.Code != tc.status || !strings.Contains(got.Body.String(), tc.want) {
			t.Errorf("%s: got status %d, %q; want %d, %q", name, got.Code, got.Body, tc.status, tc.want)
		}
	}
}
