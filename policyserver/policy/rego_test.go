package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// annotate gives a module the least of metadata.
func annotate(t testing.TB, module []byte, mode metadata.ExecutionMode) []byte {
	t.Helper()
	annotated, err := wasm.SetCustomSection(module, metadata.Section,
		fmt.Appendf(nil, `{"executionMode":%q,"rules":[],"mutating":false}`, mode))
	if err != nil {
		t.Fatal(err)
	}
	return annotated
}

// regoModule compiles the rules of a package policy.
func regoModule(t testing.TB, mode metadata.ExecutionMode, rules string) []byte {
	t.Helper()
	folder := fstest.MapFS{"policy.rego": {Data: []byte("package policy\n" + rules)}}
	module, err := build.CompileRego(t.Context(), folder, mode)
	if err != nil {
		t.Fatal(err)
	}
	return annotate(t, module, mode)
}

// answering is a module of mode "opa" that answers with that response.
func answeringRego(t testing.TB, response string) []byte {
	t.Helper()
	return regoModule(t, metadata.ModeOPA, `main := {"response": `+response+`}`)
}

func TestOPA(t *testing.T) {
	const cannot = "internal server error: cannot interpret OPA policy result: "
	tests := map[string]struct {
		rules   string
		want    protocol.ValidationResponse
		wantErr string
	}{
		"accepted": {rules: `main := {"response": {"uid": input.request.uid, "allowed": true}}`, want: protocol.ValidationResponse{Accepted: true}},
		"the settings are its data": {
			rules: `main := {"response": {"uid": "", "allowed": data.limit == 3}}`, want: protocol.ValidationResponse{Accepted: true},
		},
		"refused with everything": {
			rules: `main := {"response": {"uid": "x", "allowed": false, "warnings": ["w"], "auditAnnotations": {"a": "b"},
				"patchType": "JSONPatch", "patch": base64.encode(json.marshal([{"op": "add", "path": "/a", "value": 1}])),
				"status": {"message": "no", "code": 418, "reason": "Forbidden", "status": "Failure",
					"details": {"name": "n", "causes": [{"message": "m", "field": "f", "reason": "FieldValueInvalid"}]}}}}`,
			want: protocol.ValidationResponse{
				Warnings: []string{"w"}, AuditAnnotations: map[string]string{"a": "b"},
				Patch: json.RawMessage(`[{"op":"add","path":"/a","value":1}]`),
				Status: &protocol.Status{
					Message: new("no"), Code: new(uint16(418)), Reason: "Forbidden", Status: "Failure",
					Details: &protocol.Details{Name: "n", Causes: []protocol.Cause{{Message: new("m"), Field: new("f"), Reason: new("FieldValueInvalid")}}},
				},
			},
		},
		"undefined":           {rules: `main := 1 if input.request.uid == "other"`, wantErr: cannot + "the policy's entry point is undefined for this request"},
		"not an object":       {rules: `main := 7`, wantErr: cannot + "result: not a JSON object"},
		"no response":         {rules: `main := {"allowed": true}`, wantErr: cannot + "result.response: missing, want an AdmissionResponse"},
		"no uid":              {rules: `main := {"response": {"allowed": true}}`, wantErr: cannot + "result.response: uid: missing, want a string"},
		"no verdict":          {rules: `main := {"response": {"uid": ""}}`, wantErr: cannot + "result.response: allowed: missing, want true or false"},
		"a verdict in words":  {rules: `main := {"response": {"uid": "", "allowed": "yes"}}`, wantErr: cannot + "result.response: allowed: got a JSON string, want true or false"},
		"a reason of its own": {rules: `main := {"response": {"uid": "", "allowed": false, "status": {"reason": "no"}}}`, wantErr: `reason: got "no", allowed are`},
		"details without causes": {
			rules:   `main := {"response": {"uid": "", "allowed": false, "status": {"details": {}}}}`,
			wantErr: cannot + "result.response: status: details: causes: missing, want a list",
		},
		"a patch of no type": {
			rules:   `main := {"response": {"uid": "", "allowed": true, "patch": "W10="}}`,
			wantErr: cannot + `result.response: patchType: got nothing beside a patch, want "JSONPatch"`,
		},
		"a patch that is none": {
			rules:   `main := {"response": {"uid": "", "allowed": true, "patch": "e30=", "patchType": "JSONPatch"}}`,
			wantErr: cannot + "result.response: patch: not a JSON patch, which is a list of objects",
		},
		"a conflict ends the evaluation": {
			rules:   "main := {\"response\": {\"uid\": f(1), \"allowed\": true}}\nf(x) := \"a\" if x > 0\nf(x) := \"b\" if x < 2",
			wantErr: "internal server error: policy gave up: policy.rego:",
		},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, regoModule(t, metadata.ModeOPA, tc.rules))
			defer module.Close(t.Context())
			call := policy.Call{Settings: json.RawMessage(`{"limit":3}`)}
			got, err := module.Validate(t.Context(), call, json.RawMessage(`{"uid":"x","object":{}}`))
			checkGuestError(t, err, tc.wantErr)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// checkGuestError wants an error of the guest with a message that begins or ends so.
func checkGuestError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		checkError(t, err, nil)
		return
	}
	failure, ok := err.(*policy.Error) //nolint:errorlint // every error of the engine is one
	if !ok || failure.Kind != policy.KindGuest || !strings.Contains(failure.Message, want) {
		t.Errorf("got  %v\nwant an error of the guest with %q", err, want)
	}
}

func TestGatekeeper(t *testing.T) {
	const cannot = "internal server error: cannot interpret Gatekeeper policy result: "
	tests := map[string]struct {
		rules   string
		raw     bool
		want    protocol.ValidationResponse
		wantErr string
	}{
		"no violation": {rules: `violation[{"msg": "no"}] { input.review.uid != "x" }`, want: protocol.ValidationResponse{Accepted: true}},
		"violations": {
			rules: `violation = [{"msg": msg, "details": {}} | msg := input.parameters.forbidden[_]] { true }`,
			want:  protocol.ValidationResponse{Message: new("a, b")},
		},
		"data is empty":               {rules: `violation[{"msg": "inventory"}] { data.inventory }`, want: protocol.ValidationResponse{Accepted: true}},
		"a violation without message": {rules: `violation[{"details": 1}] { true }`, want: protocol.ValidationResponse{Message: new("the policy found a violation and gave no message")}},
		"a violation that is a text":  {rules: `violation["no"] { true }`, wantErr: cannot + "result[0]: not a JSON object"},
		"a message that is a number":  {rules: `violation[{"msg": 1}] { true }`, wantErr: cannot + "result[0]: msg: got a JSON number, want a string"},
		"no list":                     {rules: `violation = {"msg": "no"} { true }`, wantErr: cannot + `result: got {"msg":"no"}, want a list of violations`},
		"null":                        {rules: `violation = null { true }`, wantErr: cannot + "result: got null, want a list of violations"},
		"undefined":                   {rules: `violation = "no" { input.review.uid == "y" }`, wantErr: cannot + "the policy's entry point is undefined for this request"},
		"a raw request":               {rules: `violation[{"msg": "no"}] { true }`, raw: true, wantErr: "internal server error: Gatekeeper does not support raw validation requests"},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, regoModule(t, metadata.ModeGatekeeper, tc.rules))
			defer module.Close(t.Context())
			call := policy.Call{Settings: json.RawMessage(`{"forbidden":["a","b"]}`), Raw: tc.raw}
			got, err := module.Validate(t.Context(), call, json.RawMessage(`{"uid":"x"}`))
			checkGuestError(t, err, tc.wantErr)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Rego has no say in its settings.
func TestRegoSettingsAreValid(t *testing.T) {
	module := compile(t, newEngine(t, policy.Config{}), answeringRego(t, `{"uid": "", "allowed": false}`))
	got, err := module.ValidateSettings(t.Context(), policy.Call{Settings: json.RawMessage(`{"a":1}`)})
	checkError(t, err, nil)
	if !got.Valid {
		t.Error("settings are invalid, want valid")
	}
}

// What the host does not offer is refused when the module is loaded, by name.
func TestRegoMissingBuiltins(t *testing.T) {
	engine := newEngine(t, policy.Config{})
	_, err := engine.Compile(t.Context(), regoModule(t, metadata.ModeOPA,
		`main := [http.send({"url": "http://127.0.0.1", "method": "get"}), opa.runtime(), net.lookup_ip_addr("a"), sprintf("%d", [1])]`))
	checkError(t, err, &wantError{policy.KindInvalidModule, "Missing Rego builtins: http.send, net.lookup_ip_addr, opa.runtime"})
}

// Values cross between guest and builtins unchanged: sets as sets, numbers to the last
// digit.
func TestRegoBuiltinsInGuests(t *testing.T) {
	tests := map[string]struct{ expression, want string }{
		"numbers":       {`json.patch(input.request, [{"op": "add", "path": "/b", "value": 1.50}])`, `{"b":1.50,"a":12345678901234567890123}`},
		"a set":         {`sprintf("%v of %d", [{"b", "a"}, input.request.a])`, `"{\"a\", \"b\"} of 12345678901234567890123"`},
		"a set back":    {`[is_set(net.cidr_merge({"10.0.0.0/25", "10.0.0.128/25"})), net.cidr_merge({"10.0.0.0/25", "10.0.0.128/25"})]`, `[true,["10.0.0.0/24"]]`},
		"no arguments":  {`time.now_ns() == time.now_ns()`, `true`},
		"one":           {`units.parse("1Mi")`, `1048576`},
		"two":           {`regex.split(", *", "a, b,c")`, `["a","b","c"]`},
		"three":         {`regex.replace("a1b2", "[0-9]", "")`, `"ab"`},
		"four":          {`time.add_date(0, 1, 2, 3)`, `36892800000000000`},
		"Unicode":       {`urlquery.decode(urlquery.encode("ä€😀"))`, `"ä€😀"`},
		"nested deeply": {`yaml.unmarshal("a: [{b: {c: [1, null, {}]}}]")`, `{"a":[{"b":{"c":[1,null,{}]}}]}`},
		"a comparison":  {`semver.compare("1.2.3-rc1", "1.2.3")`, `-1`},
		"trace":         {`trace("a note")`, `true`},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, answeringRego(t, `{"uid": "", "allowed": false, "status": {"message": json.marshal(`+tc.expression+`)}}`))
			defer module.Close(t.Context())
			got, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{"a": 12345678901234567890123}`))
			checkError(t, err, nil)
			if got.Status == nil || got.Status.Message == nil {
				t.Fatalf("got %+v, want a message", got)
			}
			if *got.Status.Message != tc.want {
				t.Errorf("got  %s\nwant %s", *got.Status.Message, tc.want)
			}
		})
	}
	// What OPA calls undefined denies.
	module := compile(t, engine, answeringRego(t, `{"uid": "", "allowed": units.parse(input.request.b) > 0}`))
	_, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{"b": "many"}`))
	checkGuestError(t, err, "internal server error: builtin units.parse: no amount provided")
}

// However a policy in Rego wastes its time, its call ends soon after the deadline.
func TestRegoDeadline(t *testing.T) {
	large := `{"a": "` + strings.Repeat("ab", 400_000) + `"}`
	tests := map[string]string{
		"a vast comprehension": `main := count([1 | some i in numbers.range(1, 1000); some j in numbers.range(1, 1000); some k in numbers.range(1, 1000); i + j + k < 0])`,
		// Each step of this expression's automaton has many states: some hundred ms for the whole text.
		"a long regular expression": `main := count([i | some i in numbers.range(1, 100); regex.replace(input.request.a, "(a|b|ab|ba){90}(x|y){90}$", "") == ""])`,
		"many builtins":             `main := count([1 | some i in numbers.range(1, 10000); some j in numbers.range(1, 10000); sprintf("%d", [i]) == sprintf("%d", [j + 100000])])`,
	}
	engine := newEngine(t, policy.Config{})
	for name, rules := range tests {
		module := compile(t, engine, regoModule(t, metadata.ModeOPA, rules))
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := module.Validate(ctx, policy.Call{}, json.RawMessage(large))
			end, _ := ctx.Deadline()
			after := time.Since(end)
			checkError(t, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
			if after > 10*time.Second {
				t.Errorf("ended %v after its deadline", after)
			}
			t.Logf("ended %v after its deadline", after)
		})
	}
}
