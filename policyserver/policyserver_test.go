package policyserver

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// upstream's text for a policy that takes too long.
const messageTimeout = "Policy execution interrupted because it exceeded the allowed execution time"

// fromFiles is a configuration in files, and a function that changes the policies.
func fromFiles(t *testing.T, from images, policies contract.Policies) (*Files, func(contract.Policies)) {
	t.Helper()
	dir := t.TempDir()
	files := &Files{Policies: filepath.Join(dir, "policies.yml"), Sources: filepath.Join(dir, "sources.yml")}
	write(t, files.Policies, encode(t, policies))
	write(t, files.Sources, from.sources(t))
	return files, func(policies contract.Policies) { write(t, files.Policies, encode(t, policies)) }
}

func TestServe(t *testing.T) {
	from := newImages(t)
	accepting := from.push(t, "accepting", wasmtest.Accepting())
	denying := from.push(t, "denying", wasmtest.Answering(`{"accepted":false,"message":"no","code":418,"warnings":["w"]}`))
	mutating := from.push(t, "mutating", wasmtest.Answering(`{"accepted":true,"mutated_object":{"data":{"b":"2"}}}`))
	looping := from.push(t, "looping", wasmtest.Looping())
	files, _ := fromFiles(t, from, contract.Policies{
		"accepting": {Module: accepting},
		"denying":   {Module: denying},
		"worded":    {Module: denying, Message: "custom"},
		"monitors":  {Module: denying, PolicyMode: contract.ModeMonitor},
		"mutates":   {Module: mutating, AllowedToMutate: new(true)},
		"mutinies":  {Module: mutating},
		"hangs":     {Module: looping, TimeoutEvalSeconds: new(int32(1))},
		"absent":    {Module: strings.Replace(accepting, ":accepting", ":absent", 1)},
		"fails":     {Module: from.push(t, "failing", wasmtest.Failing("it broke"))},
		"refuses":   {Module: from.push(t, "refusing", wasmtest.RefusingSettings(`{"valid":false,"message":"never"}`))},
		"spins":     {Module: from.push(t, "recursing", wasmtest.Recursing()), TimeoutEvalSeconds: new(int32(1))},
	})
	s := start(t, Config{Files: files})
	s.waitReady(t)
	for id, want := range map[string]answer{
		"accepting": {HTTP: 200, UID: "u-1", Allowed: true},
		"denying":   {HTTP: 200, UID: "u-1", Message: "no", Code: 418, Warnings: []string{"w"}},
		"worded":    {HTTP: 200, UID: "u-1", Message: "custom", Code: 418, Warnings: []string{"w"}},
		"monitors":  {HTTP: 200, UID: "u-1", Allowed: true, Warnings: []string{"w"}},
		"mutates":   {HTTP: 200, UID: "u-1", Allowed: true, Patch: `[{"op":"remove","path":"/data/a"},{"value":"2","op":"add","path":"/data/b"}]`},
		"mutinies": {
			HTTP: 200, UID: "u-1",
			Message: "Request rejected by policy mutinies. The policy attempted to mutate the request, but it is currently configured to not allow mutations.",
		},
		"hangs":   {HTTP: 200, UID: "u-1", Message: messageTimeout, Code: 500},
		"spins":   {HTTP: 200, UID: "u-1", Message: messageTimeout, Code: 500},
		"fails":   {HTTP: 200, UID: "u-1", Message: "internal server error: Guest call failure: it broke", Code: 500},
		"refuses": {HTTP: 200, UID: "u-1", Message: "Policy settings are invalid: never", Code: 500},
		"unknown": {HTTP: 404},
	} {
		t.Run(id, func(t *testing.T) {
			began := time.Now()
			if diff := cmp.Diff(want, s.ask(t, id, `{"data":{"a":"1"}}`)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if took := time.Since(began); want.Message == messageTimeout && took < 900*time.Millisecond {
				t.Errorf("took %s, want about a second", took)
			}
		})
	}
	if got := s.ask(t, "absent", "{}"); !strings.Contains(got.Message, "Error while downloading policy 'absent' from "+"registry://") || got.Code != 500 {
		t.Errorf("got %+v, want a denial that says what could not be downloaded", got)
	}
	_, metrics := s.page(t, "metrics", "/metrics")
	for _, want := range []string{
		`kubewarden_policy_evaluations_total{accepted="false",error_code="418",initialization_error="",mutated="false",policy_mode="monitor",policy_name="monitors",` +
			`request_origin="validate",resource_kind="ConfigMap",resource_namespace="team",resource_request_operation="CREATE"} 1`,
		`kubewarden_policy_evaluation_latency_milliseconds_count{accepted="true",mutated="true"`,
		`initialization_error="InvalidSettings"`,
		`kubewarden_policy_server_policies_loaded 9`,
		`kubewarden_policy_server_requests_total{endpoint="validate",status="404"} 1`,
		`kubewarden_policy_server_queue_wait_seconds_count 12`,
		`kubewarden_policy_server_connections 1`,
		`kubewarden_policy_server_workers 8`,
		`kubewarden_policy_server_modules_found_total{place="source"}`,
		`kubewarden_policy_server_policies_failed{reason="ModuleNotFound"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestServeFollowsItsFile(t *testing.T) {
	from := newImages(t)
	one := from.push(t, "one", wasmtest.Answering(`{"accepted":false,"message":"one"}`))
	two := from.push(t, "two", wasmtest.Answering(`{"accepted":false,"message":"two"}`))
	refusing := from.push(t, "refusing", wasmtest.RefusingSettings(`{"valid":false,"message":"never"}`))
	files, change := fromFiles(t, from, contract.Policies{"a": {Module: one}})
	s := start(t, Config{Files: files})
	s.waitReady(t)
	says := func(id, want string) func() bool {
		return func() bool { return s.ask(t, id, "{}").Message == want }
	}
	if !says("a", "one")() {
		t.Error("the first configuration is not served")
	}
	change(contract.Policies{"a": {Module: two}, "b": {Module: one}})
	eventually(t, "the changed policy", says("a", "two"))
	eventually(t, "the new policy", says("b", "one"))

	change(contract.Policies{"a": {Module: refusing}, "c": {Module: one}})
	eventually(t, "the policy beside the refused one", says("c", "one"))
	eventually(t, "the end of the removed policy", func() bool { return s.ask(t, "b", "{}").HTTP == http.StatusNotFound })
	eventually(t, "the failure", func() bool { return s.environment.Snapshot().Failures["a"].Reason == contract.ReasonInvalidSettings })
	if !says("a", "two")() {
		t.Error("the earlier revision does not serve any more")
	}

	write(t, files.Policies, []byte("a: ["))
	write(t, files.Policies, []byte("a: {module: "+one+", unknown: 1}\nd: {module: "+two+"}"))
	eventually(t, "the policy beside the unreadable one", says("d", "two"))
	if !says("a", "two")() {
		t.Error("the earlier revision does not serve any more")
	}
	if status, _ := s.page(t, "readiness", contract.PathReadiness); status != http.StatusOK {
		t.Errorf("got status %d from the probe, want 200: failures take no replica away", status)
	}
}

func TestNewRefusesFilesThatAreNone(t *testing.T) {
	good := `{"a":{"module":"registry.test/m:v1"}}`
	for name, tc := range map[string]struct{ policies, sources, want string }{
		"no policies":               {"", "", "read policies"},
		"policies that are no YAML": {"a: [", "", "decode policies"},
		"policies that are a list":  {"- a", "", "want a mapping"},
		"sources that are no YAML":  {good, "a: [", "decode sources"},
		"sources of another shape":  {good, "insecure_sources: 1", `field "insecure_sources"`},
		"authority that is none":    {good, `{"source_authorities":{"registry.test":[{"type":"Data","data":"text"}]}}`, "authority 0 of source registry.test"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := &Files{Policies: filepath.Join(dir, "policies.yml")}
			if tc.policies != "" {
				write(t, files.Policies, []byte(tc.policies))
			}
			if tc.sources != "" {
				files.Sources = filepath.Join(dir, "sources.yml")
				write(t, files.Sources, []byte(tc.sources))
			}
			_, err := New(t.Context(), Config{
				APIAddress: "127.0.0.1:0", ReadinessAddress: "127.0.0.1:0", Workers: 1, DownloadDir: dir,
				Files: files, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	from := newImages(t)
	module := wasmtest.Accepting()
	good := contract.Entry{Module: from.push(t, "accepting", module), Settings: json.RawMessage(`{"a":1}`)}
	bad := contract.Entry{Module: from.push(t, "refusing", wasmtest.RefusingSettings(`{"valid":false,"message":"never"}`))}
	policies := contract.Policies{"good": good, "bad": bad}
	files, _ := fromFiles(t, from, policies)
	s := start(t, Config{Files: files})
	s.waitReady(t)
	got := s.report()
	wantRevision, err := contract.Revision(good, got.Policies["good"].ModuleDigest)
	if err != nil {
		t.Fatal(err)
	}
	wantConfig, err := contract.ConfigRevision(policies)
	if err != nil {
		t.Fatal(err)
	}
	if got.Policies["good"].Revision != wantRevision || got.ConfigRevision != wantConfig {
		t.Errorf("got revisions %s and %s, want %s and %s as the operator computes them", got.Policies["good"].Revision, got.ConfigRevision, wantRevision, wantConfig)
	}
	hash, err := contract.EntryHash(bad)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]contract.Failure{"bad": {Wanted: hash, Reason: contract.ReasonInvalidSettings, Message: "Policy settings are invalid: never"}}
	if diff := cmp.Diff(want, got.Failures); diff != "" {
		t.Errorf("failures; -want +got:\n%s", diff)
	}
	if _, err := time.Parse(time.RFC3339, got.StartTime); err != nil || len(got.ServingCertificate) != 64 || got.Version != "0.0.0-test" || got.Contract != contract.Version {
		t.Errorf("got %+v", got)
	}
}
