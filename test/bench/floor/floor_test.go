package floor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

// serving is a client of a floor in this process, which ends with the test.
func serving(t *testing.T) *Client {
	t.Helper()
	dir := t.TempDir()
	roots, err := child.WriteCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := child.FreePorts(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	address, probe := net.JoinHostPort(child.Loopback, ports[0]), net.JoinHostPort(child.Loopback, ports[1])
	go func() { ended <- Serve(ctx, []string{dir, address, probe}) }()
	client := NewClient(address, roots)
	t.Cleanup(func() {
		client.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for {
		if connection, err := DialLoopback(t.Context(), "tcp", probe); err == nil {
			connection.Close()
			return client
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestMeasureCountsWhatTheFloorAccepts(t *testing.T) {
	client := serving(t)
	cost, err := client.Measure(t.Context(), os.Getpid(), 50*time.Millisecond)
	if err != nil || cost.Requests == 0 || cost.Client <= 0 || cost.Took <= 0 {
		t.Errorf("got %+v, %v", cost, err)
	}
	if _, err := client.Measure(t.Context(), 0, 0); err == nil {
		t.Error("got no error for a process that there is not")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Measure(ended, os.Getpid(), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v after an interrupt", err)
	}
}

func TestCostOfARequestIsThatOfBothSides(t *testing.T) {
	cost := Cost{Requests: 4, Client: 10, Server: 30, Took: 7}
	if got := cost.Each(); got != 10 {
		t.Errorf("each costs %d, want 10", got)
	}
	if got, want := cost.Add(Cost{Requests: 1, Client: 2, Server: 3, Took: 4}), (Cost{5, 12, 33, 11}); got != want {
		t.Errorf("both cost %+v, want %+v", got, want)
	}
	if got := (Cost{Client: 5}).Each(); got != 5 {
		t.Errorf("no request costs %d", got)
	}
}

func TestFloorRefuses(t *testing.T) {
	answer := httptest.NewRecorder()
	accept(answer, httptest.NewRequest(http.MethodPost, "/validate/a", strings.NewReader(`{}`)))
	if answer.Code != http.StatusBadRequest {
		t.Errorf("got %d without a uid, want 400", answer.Code)
	}
	if err := Serve(t.Context(), []string{"here"}); err == nil || !strings.Contains(err.Error(), "got 1 arguments") {
		t.Errorf("got %v, want an error about the arguments", err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", child.Loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().String()
	if err := Serve(t.Context(), []string{t.TempDir(), taken, taken}); err == nil || !strings.Contains(err.Error(), "listen as the floor") {
		t.Errorf("got %v, want an error about the address", err)
	}
}

func TestAnswersAreToTheQuestion(t *testing.T) {
	for name, tc := range map[string]struct {
		status  int
		body    string
		want    Answer
		wantErr string
	}{
		"accepted":        {200, `{"response":{"uid":"1","allowed":true}}`, Answer{Status: 200, Allowed: true}, ""},
		"denied":          {200, `{"response":{"uid":"1","allowed":false,"status":{"message":"no"}}}`, Answer{Status: 200, Message: "no"}, ""},
		"no such policy":  {404, "unknown policy: a\n", Answer{Status: 404, Message: "unknown policy: a"}, ""},
		"somebody else's": {200, `{"response":{"uid":"2","allowed":true}}`, Answer{}, `uid "2", want "1"`},
		"no JSON":         {200, "hello", Answer{}, "decode answer"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(tc.status, "1", []byte(tc.body))
			if got != tc.want || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got %+v, %v; want %+v, %q", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestNothingElseIsDialled(t *testing.T) {
	for _, address := range []string{"192.0.2.1:443", "localhost:443", "127.0.0.2:443", "[::1]:443"} {
		connection, err := DialLoopback(t.Context(), "tcp", address)
		if err == nil {
			connection.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "only 127.0.0.1 is allowed") {
			t.Errorf("%s: got %v, want a refusal", address, err)
		}
	}
}
