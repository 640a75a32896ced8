package rego

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Every builtin on the list exists: the list must follow OPA's names.
func TestOfferedBuiltinsExist(t *testing.T) {
	wanted := map[string]uint32{}
	for i, name := range Builtins() {
		if _, twice := wanted[name]; twice {
			t.Errorf("%s is on the list twice", name)
		}
		wanted[name] = uint32(i)
	}
	if _, err := resolve(wanted); err != nil {
		t.Error(err)
	}
}

// What reaches out of the sandbox, depends on chance, or answers bytes with gigabytes.
func TestBuiltinsThatAreNotOffered(t *testing.T) {
	_, err := resolve(map[string]uint32{
		"sprintf": 0, "http.send": 1, "net.lookup_ip_addr": 2, "opa.runtime": 3, "rand.intn": 4, "uuid.rfc4122": 5,
		"net.cidr_expand": 6, "json.match_schema": 7, "mine": 8,
	})
	const want = "Missing Rego builtins: http.send, json.match_schema, mine, net.cidr_expand, net.lookup_ip_addr, opa.runtime, rand.intn, uuid.rfc4122"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func call(ctx context.Context, t *testing.T, name, arguments string) (*ast.Term, error) {
	t.Helper()
	resolved, err := resolve(map[string]uint32{name: 0})
	if err != nil {
		t.Fatal(err)
	}
	list, err := parse([]byte("[" + arguments + "]"))
	if err != nil {
		t.Fatal(err)
	}
	asked := question{builtin: resolved[0], size: len(arguments)}
	list.Value.(*ast.Array).Foreach(func(argument *ast.Term) { asked.arguments = append(asked.arguments, argument) })
	ctx, state := (&sandbox.Runtime{}).Begin(ctx)
	return ask(state, newContext(ctx, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), asked)
}

func TestBuiltins(t *testing.T) {
	tests := map[string]struct{ name, arguments, want, wantErr string }{
		"sprintf":                      {"sprintf", `"%s has %d of %v", ["a", 2, {"x", 1}]`, `"a has 2 of {1, \"x\"}"`, ""},
		"sprintf with large numbers":   {"sprintf", `"%d %v", [12345678901234567890123, 1.5]`, `"12345678901234567890123 1.5"`, ""},
		"sprintf without its format":   {"sprintf", `1, []`, "", "operand 1 must be string but got number"},
		"sprintf with a vast width":    {"sprintf", `"%999999999d", [1]`, "", "its answer could have more than 16777216 bytes"},
		"sprintf with a vast *":        {"sprintf", `"` + strings.Repeat("%*d", 20) + `", [1000000, 1]`, "", "its answer could have more than 16777216 bytes"},
		"sprintf that repeats":         {"sprintf", `"` + strings.Repeat("%[1]s", 1000) + `", ["` + strings.Repeat("a", 3000) + `"]`, "", "its answer could have more than 16777216 bytes"},
		"to_number of no JSON":         {"to_number", `"007"`, `7`, ""},
		"regex.split":                  {"regex.split", `"/+", "a//b/c"`, `["a","b","c"]`, ""},
		"regex.replace":                {"regex.replace", `"abab", "b", "<$0>"`, `"a\u003cb\u003ea\u003cb\u003e"`, ""},
		"regex.replace that explodes":  {"regex.replace", `"` + strings.Repeat("a", 9000) + `", "", "` + strings.Repeat("b", 9000) + `"`, "", "its answer could have more than 16777216 bytes"},
		"regex.split of too much":      {"regex.split", `"(a{300}b?){3}", "` + strings.Repeat("a", 1_500_000) + `"`, "", "its regular expression is too large for a text of 1500000 bytes"},
		"a vast key":                   {"io.jwt.verify_rs256", `"a.b.c", "` + strings.Repeat("a", 100_000) + `"`, "", "its arguments have more than 65536 bytes"},
		"regex.find_n with no pattern": {"regex.find_n", `"(", "a", 1`, "", "error parsing regexp: missing closing ): `(`"},
		"regex.template_match":         {"regex.template_match", `"urn:{[a-z]+}", "urn:foo1", "{", "}"`, "false", ""},
		"glob.quote_meta":              {"glob.quote_meta", `"*.example"`, `"\\*.example"`, ""},
		"glob.match":                   {"glob.match", `"*.example", ["."], "a.example"`, "true", ""},
		"json.patch":                   {"json.patch", `{"a": 1.50}, [{"op": "add", "path": "/b", "value": 2}]`, `{"a":1.50,"b":2}`, ""},
		"json.patch without a path":    {"json.patch", `{"a": 1}, [{"op": "add"}]`, "", "missing required attribute 'path'"},
		"json.patch that explodes": {
			"json.patch", `{"a": "` + strings.Repeat("a", 100) + `"}, [` +
				strings.TrimSuffix(strings.Repeat(`{"op": "copy", "from": "", "path": "/b"},{"op": "copy", "from": "", "path": "/c"},`, 30), ",") + `]`, "", "value has more than 10000 bytes",
		},
		"units.parse":                      {"units.parse", `"128Mi"`, "134217728", ""},
		"units.parse of no unit":           {"units.parse", `"1X"`, "", "unit X not recognized"},
		"units.parse of much":              {"units.parse", `"1e999999999"`, "", "exponent too large"},
		"units.parse_bytes":                {"units.parse_bytes", `"1KB"`, "1000", ""},
		"time stands still":                {"time.now_ns", ``, "1767323045000000000", ""},
		"time.date":                        {"time.date", `[1767323045000000000, "America/New_York"]`, "[2026,1,1]", ""},
		"time.parse_rfc3339_ns":            {"time.parse_rfc3339_ns", `"2026-01-02T03:04:05Z"`, "1767323045000000000", ""},
		"time.parse_rfc3339_ns of no time": {"time.parse_rfc3339_ns", `"now"`, "", `cannot parse "now" as "2006"`},
		"semver.compare":                   {"semver.compare", `"1.2.3-rc1", "1.2.3"`, "-1", ""},
		"semver.compare of no version":     {"semver.compare", `"v1", "1.2.3"`, "", "operand 1: string \"v1\" is not a valid SemVer"},
		"semver.is_valid":                  {"semver.is_valid", `"1.0"`, "false", ""},
		"yaml.unmarshal":                   {"yaml.unmarshal", `"a: [1, on]"`, `{"a":[1,"on"]}`, ""},
		"hex.encode":                       {"hex.encode", `"\u0001a"`, `"0161"`, ""},
		"hex.decode of half a byte":        {"hex.decode", `"0"`, "", "encoding/hex: odd length hex string"},
		"urlquery.encode_object":           {"urlquery.encode_object", `{"a": ["b c", "d"]}`, `"a=b+c\u0026a=d"`, ""},
		"a set comes back as one":          {"net.cidr_merge", `["10.0.0.0/25", "10.0.0.128/25"]`, `{"10.0.0.0/24"}`, ""},
		"trace":                            {"trace", `"note"`, "true", ""},
		"undefined":                        {"cast_null", `null`, "null", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := written(t, tc.name, tc.arguments)
			if got != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
			if tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("got %v, want a violation with %q", err, tc.wantErr)
			}
		})
	}
}

// written is the value of a builtin as a guest would get it.
func written(t *testing.T, name, arguments string) (string, error) {
	t.Helper()
	value, err := call(t.Context(), t, name, arguments)
	if err != nil {
		if _, ok := errors.AsType[*sandbox.ViolationError](err); !ok {
			t.Errorf("got %T, want a violation: %v", err, err)
		}
		return "", err
	}
	encoder := encoder{limit: 10_000, sets: true}
	if err := encoder.encode(value.Value, 0); err != nil {
		return "", err
	}
	return string(encoder.out), nil
}

// A builtin that breaks is an error of the guest that broke it.
func TestBuiltinThatPanics(t *testing.T) {
	broken := builtin{name: "broken", run: func(topdown.BuiltinContext, []*ast.Term, func(*ast.Term) error) error {
		panic("no idea")
	}}
	for _, size := range []int{0, maxArguments} {
		ctx, state := (&sandbox.Runtime{}).Begin(t.Context())
		_, err := ask(state, newContext(ctx, time.Time{}), question{builtin: broken, size: size})
		if err == nil || err.Error() != "failed: no idea" {
			t.Errorf("size %d: got %v, want an error", size, err)
		}
	}
}

// A builtin that works on large arguments for long is left behind.
func TestBuiltinThatTakesLong(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	slow := builtin{name: "slow", run: func(topdown.BuiltinContext, []*ast.Term, func(*ast.Term) error) error {
		<-release
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ctx, state := (&sandbox.Runtime{}).Begin(ctx)
	cancel()
	_, err := ask(state, newContext(ctx, time.Time{}), question{builtin: slow, size: maxArguments})
	if !errors.Is(err, sandbox.ErrCanceled) {
		t.Errorf("got %v, want %v", err, sandbox.ErrCanceled)
	}
}
