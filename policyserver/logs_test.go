package policyserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Secrets are objects, and settings can hold them: neither is logged at any level, whatever
// becomes of the request. What a policy logs carries its ID.
func TestLogs(t *testing.T) {
	var written lines
	logger, err := telemetry.NewLogger(&written, telemetry.FormatJSON, "trace")
	if err != nil {
		t.Fatal(err)
	}
	from := newImages(t)
	secret := json.RawMessage(`{"token":"hunter2"}`)
	files, change := fromFiles(t, from, contract.Policies{
		"denies":   {Module: from.push(t, "denying", wasmtest.Answering(`{"accepted":false,"message":"no"}`)), Settings: secret},
		"mutates":  {Module: from.push(t, "mutating", wasmtest.Answering(`{"accepted":true,"mutated_object":{"b":"classified"}}`)), Settings: secret},
		"monitors": {Module: from.push(t, "mutating", wasmtest.Answering(`{"accepted":true,"mutated_object":{"b":"classified"}}`)), PolicyMode: contract.ModeMonitor},
		"fails":    {Module: from.push(t, "trapping", wasmtest.Trapping()), Settings: secret},
		"refuses":  {Module: from.push(t, "refusing", wasmtest.RefusingSettings(`{"valid":false,"message":"never"}`)), Settings: secret},
		"logs":     {Module: from.push(t, "logging", logging()), Settings: secret},
		"group":    {Expression: "a()", Message: "no", Policies: map[string]contract.Member{"a": {Module: from.push(t, "trapping", wasmtest.Trapping()), Settings: secret}}},
	})
	s := start(t, Config{Files: files, Logger: logger})
	s.waitReady(t)
	for _, id := range []string{"denies", "mutates", "monitors", "fails", "refuses", "logs", "group", "absent"} {
		s.ask(t, id, `{"a":"classified"}`)
	}
	for _, broken := range []string{`{"request":{"object":{"a":"classified"}`, `{"request":"classified"}`, `{"request":{"uid":"classified","object":1}}`} {
		post(t, s, "/validate/denies", broken)
	}
	change(contract.Policies{"denies": {Module: from.push(t, "denying", wasmtest.Accepting()), Settings: json.RawMessage(`{"token":"hunter3"}`)}})
	eventually(t, "the changed configuration", func() bool { return strings.Contains(written.String(), `"configuration changed"`) })
	text := written.String()
	for _, never := range []string{"classified", "hunter", "jane"} {
		if at := strings.Index(text, never); at >= 0 {
			t.Errorf("%s is logged: %s", never, text[max(0, at-200):at+len(never)])
		}
	}
	if want := `"msg":"policy log","policy_id":"logs","text":"look","data":"{\"a\":1}"`; !strings.Contains(text, want) {
		t.Errorf("got %s, want %s among it", text, want)
	}
	if want := `"msg":"policy evaluation","policy_id":"denies"`; !strings.Contains(text, want) {
		t.Errorf("got %s, want %s among it", text, want)
	}
}

// Profiles are there for who asks for them when the server is started, and for nobody else.
func TestProfilesOnRequest(t *testing.T) {
	for wanted, status := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		files, _ := fromFiles(t, newImages(t), contract.Policies{})
		s := start(t, Config{Files: files, Profiles: wanted})
		response, err := s.client.Get("https://" + s.Address("API") + "/debug/pprof/heap")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("got status %d where profiles are wanted: %t; want %d", response.StatusCode, wanted, status)
		}
	}
}
