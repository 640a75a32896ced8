package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

func TestNewGrants(t *testing.T) {
	tests := map[string]struct {
		patterns []string
		want     string
		wantErr  string
	}{
		"none grant nothing":           {nil, "[]", ""},
		"everything":                   {[]string{"*"}, "[*]", ""},
		"nothing behind a star counts": {[]string{"oci/v1/verify", "*", "nonsense"}, "[*]", ""},
		"sorted, wildcards first": {
			[]string{"net/v1/dns_lookup_host", " oci/v1/verify ", "oci/v2/*", "kubernetes/*", "oci/v1/verify"},
			"[kubernetes/*, oci/v2/*, net/v1/dns_lookup_host, oci/v1/verify]", "",
		},
		"empty":       {[]string{" "}, "", "invalid pattern: pattern must not be empty"},
		"partial":     {[]string{"oci*"}, "", `invalid pattern "oci*": wildcard '*' must be the entire last path segment (e.g. 'oci/*'), not a partial match`},
		"in front":    {[]string{"*/oci"}, "", `invalid pattern "*/oci": wildcard '*' must be the entire last path segment (e.g. 'oci/*'), not a partial match`},
		"half a leaf": {[]string{"oci/v1/oci_*"}, "", `invalid pattern "oci/v1/oci_*": wildcard '*' must be the entire last path segment (e.g. 'oci/*'), not a partial match`},
		"twice":       {[]string{"*/*"}, "", `invalid pattern "*/*": wildcard '*' must be the entire last path segment (e.g. 'oci/*'), not a partial match`},
		"unknown":     {[]string{"x/y"}, "", `invalid pattern "x/y": unknown segment "x", valid options at this level are: crypto, kubernetes, net, oci`},
		"unknown below": {
			[]string{"oci/v3/*"}, "", `invalid pattern "oci/v3/*": unknown segment "v3", valid options at this level are: v1, v2`,
		},
		"incomplete":    {[]string{"oci"}, "", `invalid pattern "oci": not a complete capability path; use "oci/*" to allow all capabilities under it`},
		"behind a leaf": {[]string{"kubernetes/can_i/*/x"}, "", `invalid pattern "kubernetes/can_i/*/x": "kubernetes/can_i" is a complete capability path, nothing may follow it`},
		"tracing":       {[]string{"tracing/log"}, "", `invalid pattern "tracing/log": unknown segment "tracing", valid options at this level are: crypto, kubernetes, net, oci`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := host.NewGrants(tc.patterns, nil)
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("got error %v\nwant      %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func grants(t *testing.T, patterns ...string) host.Grants {
	t.Helper()
	granted, err := host.NewGrants(patterns, []host.Resource{{APIVersion: "v1", Kind: "Pod"}})
	if err != nil {
		t.Fatal(err)
	}
	return granted
}

func TestGrantsAllow(t *testing.T) {
	granted := grants(t, "oci/v1/*", "kubernetes/can_i")
	for capability, want := range map[string]bool{
		"oci/v1/verify":           true,
		"oci/v2/verify":           false,
		"oci/v1":                  false,
		"kubernetes/can_i":        true,
		"kubernetes/get_resource": false,
		"":                        false,
	} {
		if got := granted.Allows(capability); got != want {
			t.Errorf("%q: got %v, want %v", capability, got, want)
		}
	}
	if (host.Grants{}).Allows("oci/v1/verify") {
		t.Error("the zero value grants something")
	}
	if !granted.AllowsResource(host.Resource{APIVersion: "v1", Kind: "Pod"}) ||
		granted.AllowsResource(host.Resource{APIVersion: "v1", Kind: "Secret"}) {
		t.Error("resources are granted exactly as they are listed")
	}
}

// capability answers with its operation and payload, or fails.
type capability struct{ err error }

func (c capability) Call(_ context.Context, request host.Request) ([]byte, error) {
	return fmt.Appendf(nil, "%s %s %s", request.PolicyID, request.Operation, request.Payload), c.err
}

func TestSessionCall(t *testing.T) {
	tests := map[string]struct {
		patterns []string
		call     host.Call
		want     string
		wantErr  string
	}{
		"served": {
			patterns: []string{"oci/*"},
			call:     host.Call{Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify", Payload: []byte("{}")},
			want:     "kw.cap.mine v1/verify {}",
		},
		"another binding": {
			patterns: []string{"*"},
			call:     host.Call{Binding: "other", Namespace: "oci", Operation: "v1/verify"},
			wantErr:  "unknown binding: other",
		},
		"not granted": {
			call:    host.Call{Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify"},
			wantErr: "Policy has not been granted access to the 'oci/v1/verify' host capability. The violation has been reported. Missing grant: 'oci/v1/verify' in hostCapabilities of the policy",
		},
		"the gate stands before the check of names": {
			call:    host.Call{Binding: "kubewarden", Namespace: "nonsense", Operation: "x"},
			wantErr: "Policy has not been granted access to the 'nonsense/x' host capability. The violation has been reported. There is no such capability",
		},
		"unknown namespace": {
			patterns: []string{"*"},
			call:     host.Call{Binding: "kubewarden", Namespace: "nonsense", Operation: "x"},
			wantErr:  "unknown namespace: nonsense",
		},
		"unknown operation": {
			patterns: []string{"*"},
			call:     host.Call{Binding: "kubewarden", Namespace: "oci", Operation: "v1"},
			wantErr:  "unknown operation: v1",
		},
		"not provided": {
			patterns: []string{"*"},
			call:     host.Call{Binding: "kubewarden", Namespace: "net", Operation: "v1/dns_lookup_host"},
			wantErr:  "Callback evaluation failure: host capability 'net/v1/dns_lookup_host' is not provided here",
		},
		"failing": {
			patterns: []string{"*"},
			call:     host.Call{Binding: "kubewarden", Namespace: "kubernetes", Operation: "can_i"},
			wantErr:  "Callback evaluation failure: connection refused",
		},
		"refusing": {
			patterns: []string{"*"},
			call:     host.Call{Binding: "kubewarden", Namespace: "crypto", Operation: "v1/is_certificate_trusted"},
			wantErr:  "payload is no JSON",
		},
		"a log needs no grant":          {call: host.Call{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(`{"level":"info"}`)}},
		"a malformed log is no failure": {call: host.Call{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(`nonsense`)}},
		"unknown tracing operation": {
			call:    host.Call{Binding: "kubewarden", Namespace: "tracing", Operation: "dump"},
			wantErr: "unknown operation: dump",
		},
	}
	dispatcher := host.NewDispatcher(map[string]host.Capability{
		"oci":        capability{},
		"kubernetes": capability{err: errors.New("connection refused")},
		"crypto":     capability{err: fmt.Errorf("decode: %w", host.RefusalError("payload is no JSON"))},
	}, slog.New(slog.DiscardHandler))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			session := dispatcher.Session(host.Policy{ID: "kw.cap.mine", Grants: grants(t, tc.patterns...)})
			got, err := session.Call(t.Context(), tc.call)
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("got error %v\nwant      %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// calls are what an observer was told.
type calls []string

func (c *calls) HostCalled(capability string, result host.Result, took time.Duration) {
	*c = append(*c, fmt.Sprint(capability, " ", result, " ", took))
}

// A guest chooses what it asks for; what an observer gets to see are a few words.
func TestObserveCalls(t *testing.T) {
	dispatcher := host.NewDispatcher(map[string]host.Capability{"oci": capability{}}, slog.New(slog.DiscardHandler))
	var got calls
	now := time.Unix(0, 0)
	dispatcher.Observe(&got, func() time.Time {
		now = now.Add(time.Second)
		return now
	})
	session := dispatcher.Session(host.Policy{ID: "kw.cap.mine", Grants: grants(t, "oci/*", "net/*")})
	for _, call := range []host.Call{
		{Namespace: "oci", Operation: "v2/verify"},
		{Namespace: "kubernetes", Operation: "can_i"},
		{Namespace: "net", Operation: "v1/dns_lookup_host"},
		{Namespace: "tracing", Operation: "log"},
		{Namespace: "oci", Operation: "v3/invented"},
		{Namespace: "invented", Operation: "1"},
		{Namespace: "tracing", Operation: "2"},
	} {
		call.Binding = "kubewarden"
		_, _ = session.Call(t.Context(), call)
	}
	want := calls{
		"oci/v2/verify answered 1s", "kubernetes/can_i denied 1s", "net/v1/dns_lookup_host failed 1s", "tracing/log answered 1s",
		"unknown failed 1s", "unknown denied 1s", "unknown failed 1s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// logs runs f with a session and returns what was logged, without times.
func logs(t *testing.T, f func(*host.Session)) []map[string]any {
	t.Helper()
	var buffer bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&buffer, &slog.HandlerOptions{Level: host.LevelTrace}))
	f(host.NewDispatcher(nil, logger).Session(host.Policy{ID: "kw.cap.mine", Grants: grants(t, "oci/v2/*", "kubernetes/can_i")}))
	var lines []map[string]any
	decoder := json.NewDecoder(&buffer)
	for decoder.More() {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		lines = append(lines, line)
	}
	return lines
}

func TestSessionLogs(t *testing.T) {
	trace := func(payload string) func(*host.Session) {
		return func(s *host.Session) {
			_, _ = s.Call(t.Context(), host.Call{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(payload)})
		}
	}
	tests := map[string]struct {
		run  func(*host.Session)
		want []map[string]any
	}{
		"a policy's log": {
			trace(`{"level":"WARNING","message":"careful","line":7}`),
			[]map[string]any{{"level": "WARN", "msg": "policy log", "policy_id": "kw.cap.mine", "text": "careful", "data": `{"line":7}`}},
		},
		"a trace without message": {
			trace(`{"level":"trace"}`),
			[]map[string]any{{"level": "DEBUG-4", "msg": "policy log", "policy_id": "kw.cap.mine", "text": "", "data": `{}`}},
		},
		"a level that is not known": {
			trace(`{"level":"warn"}`),
			[]map[string]any{{
				"level": "ERROR", "msg": "policy log is malformed", "policy_id": "kw.cap.mine", "payload": `{"level":"warn"}`,
				"error": `level "warn" is not known, allowed are trace, debug, info, warning, error`,
			}},
		},
		"output": {
			func(s *host.Session) {
				s.Output(t.Context(), "stderr", "panic: x\n")
				s.Output(t.Context(), "stdout", "\n")
			},
			[]map[string]any{{"level": "INFO", "msg": "policy output", "policy_id": "kw.cap.mine", "stream": "stderr", "text": "panic: x"}},
		},
		"a denied call": {
			func(s *host.Session) {
				_, _ = s.Call(t.Context(), host.Call{Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify"})
			},
			[]map[string]any{{
				"level": "ERROR", "msg": "policy called a host capability that it was not granted", "policy_id": "kw.cap.mine",
				"capability": "oci/v1/verify", "allowed_capabilities": "[oci/v2/*, kubernetes/can_i]",
			}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, logs(t, tc.run)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSessionBoundsItsLogs(t *testing.T) {
	const warning = "policy logged too much in one call, the rest is dropped"
	many := logs(t, func(s *host.Session) {
		for range 10_000 {
			s.Output(t.Context(), "console", "again")
		}
	})
	if got, want := len(many), 101; got != want {
		t.Errorf("many records: got %d lines, want %d", got, want)
	}
	if got := many[len(many)-1]["msg"]; got != warning {
		t.Errorf("many records: last line is %q, want %q", got, warning)
	}
	members := logs(t, func(s *host.Session) {
		record := `{"level":"info"` + strings.Repeat(`,"":0`, 1<<18) + `}`
		_, _ = s.Call(t.Context(), host.Call{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(record)})
	})
	if got, want := members[0]["error"], "log record has 1310736 bytes, at most 1048576 are allowed"; got != want {
		t.Errorf("a record of nothing but members: got error %q, want %q", got, want)
	}
	silent := logs(t, func(s *host.Session) {
		for range 1000 {
			_, err := s.Call(t.Context(), host.Call{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(`{"level":"info"}`)})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if len(silent) != 101 {
		t.Errorf("many calls: got %d lines, want 101", len(silent))
	}
	large := logs(t, func(s *host.Session) {
		for range 10 {
			s.Output(t.Context(), "console", strings.Repeat("ä", 1<<20))
		}
	})
	if len(large) != 2 || len(large[0]["text"].(string)) > 64<<10 || large[1]["msg"] != warning {
		t.Errorf("a large record: got %d lines, want one of at most 64 KiB and the warning", len(large))
	}
}
