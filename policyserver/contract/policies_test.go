package contract

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with testdata/<name>, which -update rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; -want +got:\n%s", path, diff)
	}
}

func samplePolicies() Policies {
	return Policies{
		"kw.cap.plain": {
			NamespacedName:   &NamespacedName{Name: "plain"},
			Module:           "registry://registry.test/policies/plain:v1",
			HostCapabilities: []string{"*"},
		},
		"kw.cap.full": {
			NamespacedName:        &NamespacedName{Name: "full"},
			Module:                "registry://registry.test/policies/full:v1",
			ModuleDigest:          "sha256:" + strings.Repeat("0a", 32),
			Refresh:               "2026-01-01",
			PolicyMode:            ModeMonitor,
			AllowedToMutate:       new(true),
			ContextAwareResources: []ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
			Settings:              json.RawMessage(`{"z": 1.0, "a": {"big": 12345678901234567890123, "text": "<b>"}}`),
			Message:               "not here",
			TimeoutEvalSeconds:    new(int32(5)),
			HostCapabilities:      []string{"oci/*"},
		},
		"kw.capg.warm": {
			NamespacedName: &NamespacedName{Name: "warm"},
			InstanceMode:   InstancesWarm,
			Policies:       map[string]Member{"one": {Module: "registry.test/one:v1"}},
			Expression:     "one()",
			Message:        "not one",
		},
		"kw.apg.team.group": {
			NamespacedName: &NamespacedName{Namespace: "team", Name: "group"},
			PolicyMode:     ModeProtect,
			Policies: map[string]Member{
				"one": {Module: "registry.test/one:v1", Settings: json.RawMessage(`{"k":1}`)},
				"two": {Module: "registry.test/two:v1", TimeoutEvalSeconds: new(int32(2)), HostCapabilities: []string{"net/*"}},
			},
			Expression: "one() && !two()",
			Message:    "neither",
		},
	}
}

func TestEncodePolicies(t *testing.T) {
	got, err := EncodePolicies(samplePolicies())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "policies.json", append(got, '\n'))
}

func TestEncodePoliciesRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		entry Entry
		want  string
	}{
		"an entry that is nothing": {
			entry: Entry{},
			want:  "neither module nor policies",
		},
		"an entry that is both policy and group": {
			entry: Entry{Module: "a", Policies: map[string]Member{"b": {Module: "b"}}},
			want:  "module and policies are both set",
		},
		"settings that are no object": {
			entry: Entry{Module: "a", Settings: json.RawMessage(`[1]`)},
			want:  "got a list, want an object or null",
		},
		"settings that are no JSON": {
			entry: Entry{Module: "a", Settings: json.RawMessage(`{} {}`)},
			want:  "text after the value",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := EncodePolicies(Policies{"kw.cap.x": tc.entry})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "kw.cap.x") {
				t.Errorf("got %v, want an error that names kw.cap.x and contains %q", err, tc.want)
			}
		})
	}
}

func TestDecodePoliciesReadsWhatEncodePoliciesWrites(t *testing.T) {
	data, err := EncodePolicies(samplePolicies())
	if err != nil {
		t.Fatal(err)
	}
	got, refused, err := DecodePolicies(data)
	if err != nil || len(refused) > 0 {
		t.Fatalf("got error %v, refused %v", err, refused)
	}
	again, err := EncodePolicies(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), string(again)); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
	for id, entry := range samplePolicies() {
		if want, got := mustHash(t, entry), mustHash(t, got[id]); want != got {
			t.Errorf("%s: got hash %s after a round trip, want %s", id, got, want)
		}
	}
}

func mustHash(t *testing.T, entry Entry) string {
	t.Helper()
	hash, err := EntryHash(entry)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// The file testdata/upstream.yml is written by hand in the format of upstream's documents.
func TestDecodePoliciesReadsUpstreamYAML(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "upstream.yml"))
	if err != nil {
		t.Fatal(err)
	}
	policies, refused, err := DecodePolicies(data)
	if err != nil || len(refused) > 0 {
		t.Fatalf("got error %v, refused %v", err, refused)
	}
	got, err := EncodePolicies(policies)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "upstream.json", append(got, '\n'))
}

func TestDecodePoliciesScalars(t *testing.T) {
	for text, want := range map[string]string{
		"on": `"on"`, "yes": `"yes"`, "n": `"n"`, "true": `true`, "False": `false`, "tRUE": `"tRUE"`,
		"~": `null`, "": `null`, "Null": `null`, "nil": `"nil"`,
		"1": `1`, "+1": `1`, "-0": `-0`, "0x1F": `31`, "0o17": `15`, "0644": `"0644"`, "1_000": `"1_000"`,
		"12345678901234567890": `12345678901234567890`,
		"1.50":                 `1.50`, ".5": `0.5`, "1.": `1.0`, "1e3": `1e3`, "-1.5E+2": `-1.5E+2`, "1.2.3": `"1.2.3"`, ".": `"."`, "e3": `"e3"`,
		"2001-01-01": `"2001-01-01"`, "12:30:45": `"12:30:45"`,
		`"1"`: `"1"`, `'true'`: `"true"`, "!!str 1": `"1"`, "!!int 1": `1`, "<b>": `"\u003cb\u003e"`,
		"[a, 1, {b: c}]": `["a",1,{"b":"c"}]`,
	} {
		t.Run(text, func(t *testing.T) {
			policies, refused, err := DecodePolicies([]byte("p:\n  module: m\n  settings:\n    k: " + text + "\n"))
			if err != nil || len(refused) > 0 {
				t.Fatalf("got error %v, refused %v", err, refused)
			}
			want := `{"k":` + want + `}`
			if got := string(policies["p"].Settings); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestDecodePoliciesKeysAreText(t *testing.T) {
	policies, refused, err := DecodePolicies([]byte("1:\n  module: m\n  settings: {on: 1, true: 2, null: 3, 5: 4, <<: 5}\n"))
	if err != nil || len(refused) > 0 {
		t.Fatalf("got error %v, refused %v", err, refused)
	}
	want := `{"5":4,"\u003c\u003c":5,"null":3,"on":1,"true":2}`
	if got := string(policies["1"].Settings); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDecodePoliciesOneBadEntryFailsAlone(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for name, tc := range map[string]struct {
		id, entry, want string
	}{
		"unknown field":              {entry: `{module: m, colour: red}`, want: `unknown field "colour"; allowed are allowedToMutate`},
		"unknown field of a group":   {entry: `{policies: {}, expression: e, message: m, settings: {}}`, want: `unknown field "settings"`},
		"unknown field of a member":  {entry: `{policies: {a: {module: m, message: no}}, expression: e, message: m}`, want: `member "a": unknown field "message"`},
		"neither policy nor group":   {entry: `{settings: {}}`, want: `neither module nor policies`},
		"policy and group":           {entry: `{module: m, policies: {}}`, want: `module and policies are both set`},
		"group without expression":   {entry: `{policies: {a: {module: m}}, message: m}`, want: `field "expression" is missing`},
		"member without module":      {entry: `{policies: {a: {}}, expression: e, message: m}`, want: `member "a": field "module" is missing`},
		"member name with a slash":   {entry: `{policies: {a/b: {module: m}}, expression: e, message: m}`, want: `contains policies with invalid names: ["a/b"]`},
		"empty module":               {entry: `{module: ""}`, want: `field "module": got "", want a string that is not empty`},
		"null module":                {entry: `{module: null}`, want: `field "module": got null`},
		"module that is a number":    {entry: `{module: 5}`, want: `field "module": got 5, want a string`},
		"mode of another kind":       {entry: `{module: m, policyMode: audit}`, want: `got "audit", want "protect" or "monitor"`},
		"null mode":                  {entry: `{module: m, policyMode: null}`, want: `got null, want "protect" or "monitor"`},
		"null capabilities":          {entry: `{module: m, hostCapabilities: null}`, want: `got null, want a list of strings`},
		"null resources":             {entry: `{module: m, contextAwareResources: null}`, want: `got null, want a list of objects`},
		"resource without kind":      {entry: `{module: m, contextAwareResources: [{apiVersion: v1}]}`, want: `item 0 lacks apiVersion or kind`},
		"boolean of YAML 1.1":        {entry: `{module: m, allowedToMutate: yes}`, want: `got "yes", want true, false or null`},
		"settings that are a list":   {entry: `{module: m, settings: [secret]}`, want: `field "settings": got a list, want an object or null`},
		"settings that are a string": {entry: `{module: m, settings: text}`, want: `got "text", want an object or null`},
		"timeout of zero":            {entry: `{module: m, timeoutEvalSeconds: 0}`, want: `got 0, want a whole number from 1 to 2147483647`},
		"timeout beyond 32 bits":     {entry: `{module: m, timeoutEvalSeconds: 4294967296}`, want: `got 4294967296, want a whole number`},
		"timeout with a fraction":    {entry: `{module: m, timeoutEvalSeconds: 1.5}`, want: `got 1.5, want a whole number`},
		"digest in capitals":         {entry: `{module: m, moduleDigest: "sha256:AA"}`, want: `want "sha256:" and 64 lower-case hex digits`},
		"key that stands twice":      {entry: `{module: m, settings: {a: {b: 1, b: 2}}}`, want: `key "b" stands twice in one mapping`},
		"infinite number":            {entry: `{module: m, settings: {a: .inf}}`, want: `.inf is no number that JSON knows`},
		"tag of another kind":        {entry: `{module: m, settings: {a: !!binary aGk=}}`, want: `tag !!binary is not supported`},
		"tag that does not fit":      {entry: `{module: m, settings: {a: !!int x}}`, want: `"x" is no !!int`},
		"list as a key":              {entry: `{module: m, settings: {[a]: 1}}`, want: `got a list as a key`},
		"nested too deeply":          {entry: `{module: m, settings: {a: ` + deep + `}}`, want: `nested deeper than 128 levels`},
		"scalar entry":               {entry: `text`, want: `got "text", want an object`},
		"null entry":                 {entry: `null`, want: `got null, want an object`},
		"slash in the ID":            {id: "a/b", entry: `{module: m}`, want: `policy name 'a/b' contains a '/' character`},
		"empty ID":                   {id: `""`, entry: `{module: m}`, want: `the policy ID is empty`},
	} {
		t.Run(name, func(t *testing.T) {
			id := tc.id
			if id == "" {
				id = "bad"
			}
			policies, refused, err := DecodePolicies([]byte("good: {module: m}\n" + id + ": " + tc.entry + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"good"}, slices.Collect(maps.Keys(policies))); diff != "" {
				t.Errorf("policies; -want +got:\n%s", diff)
			}
			got := refused[strings.Trim(id, `"`)]
			if got == nil || !strings.Contains(got.Error(), tc.want) {
				t.Errorf("got error %v, want one that contains %q", got, tc.want)
			}
			if RefusedHash(got) == "" {
				t.Error("the error has no hash of the entry")
			}
		})
	}
}

func TestDecodePoliciesReadsJSONAsStrictly(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for name, tc := range map[string]struct{ entry, want string }{
		"key that stands twice":       {`{"module":"m","settings":{"a":[{"b":1,"c":{"b":1},"b":2}]}}`, `key "b" stands twice in one mapping`},
		"escaped key that does":       {`{"module":"m","settings":{"a":1,"\u0061":2}}`, `key "a" stands twice in one mapping`},
		"nested too deeply":           {`{"module":"m","settings":{"a":` + deep + `}}`, `nested deeper than 128 levels`},
		"field in another case":       {`{"module":"m","Settings":{}}`, `unknown field "Settings"`},
		"equal keys and equal values": {`{"module":"m","settings":{"k":"k","v":["k","k"],"k2":"k"}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			policies, refused, err := DecodePolicies([]byte(`{"good":{"module":"m"},"p":` + tc.entry + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if _, served := policies["good"]; !served {
				t.Error("the good entry is not served")
			}
			if got := refused["p"]; (got == nil) != (tc.want == "") || (got != nil && !strings.Contains(got.Error(), tc.want)) {
				t.Errorf("got %v, want an error that contains %q", got, tc.want)
			}
		})
	}
}

func TestDecodePoliciesRefusesWholeFile(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":           {"", "the text is empty; write {} for none"},
		"a comment only":    {"# nothing\n", "empty"},
		"a list":            {"- a\n", "got a list, want a mapping"},
		"null":              {"null\n", "want a mapping"},
		"two documents":     {"a: {module: m}\n---\nb: {module: m}\n", "more than one YAML document"},
		"broken YAML":       {"a: [\n", "yaml"},
		"an ID that is map": {"{a: b}: {module: m}\n", "got a mapping as a key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := DecodePolicies([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

func TestDecodePoliciesRefusesAnIDThatStandsTwice(t *testing.T) {
	for name, text := range map[string]string{
		"YAML": "a: {module: one}\nb: {module: m}\na: {module: two}\na: {module: three}\n",
		"JSON": `{"a":{"module":"one"},"b":{"module":"m"},"a":{"module":"two"},"a":{"module":"three"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			policies, refused, err := DecodePolicies([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if _, served := policies["a"]; served || refused["a"] == nil {
				t.Errorf("got policies %v, refused %v; want a refused: nobody can say which one was meant", policies, refused)
			}
			if _, served := policies["b"]; !served {
				t.Error("b is not served")
			}
		})
	}
}

func TestDecodePoliciesBoundsAliases(t *testing.T) {
	var text strings.Builder
	text.WriteString("bad:\n  module: m\n  settings:\n    a0: &a0 [" + strings.Repeat("x,", 10) + "]\n")
	for i := 1; i < 12; i++ {
		previous, next := string(rune('a'+i-1)), string(rune('a'+i))
		if i == 1 {
			previous = "a0"
		}
		text.WriteString("    " + next + ": &" + next + " [" + strings.Repeat("*"+previous+", ", 9) + "*" + previous + "]\n")
	}
	text.WriteString("good: {module: m}\n")
	policies, refused, err := DecodePolicies([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got := refused["bad"]; got == nil || !strings.Contains(got.Error(), "aliases expand to more than") {
		t.Errorf("got %v, want the aliases refused", got)
	}
	if _, served := policies["good"]; !served {
		t.Error("the good entry is not served")
	}
}

func TestEntryHash(t *testing.T) {
	base := Entry{Module: "m", Settings: json.RawMessage(`{"a":1,"b":[]}`)}
	for name, tc := range map[string]struct {
		change func(*Entry)
		same   bool
	}{
		"custom resource":         {func(e *Entry) { e.NamespacedName = &NamespacedName{Name: "n"} }, true},
		"default mode":            {func(e *Entry) { e.PolicyMode = ModeProtect }, true},
		"default instances":       {func(e *Entry) { e.InstanceMode = InstancesPristine }, true},
		"warm instances":          {func(e *Entry) { e.InstanceMode = InstancesWarm }, false},
		"default mutation":        {func(e *Entry) { e.AllowedToMutate = new(bool) }, true},
		"order and blanks":        {func(e *Entry) { e.Settings = json.RawMessage(`{ "b": [], "a": 1 }`) }, true},
		"no capabilities":         {func(e *Entry) { e.HostCapabilities = []string{} }, true},
		"pin":                     {func(e *Entry) { e.ModuleDigest = "sha256:" + strings.Repeat("ab", 32) }, true},
		"module":                  {func(e *Entry) { e.Module = "n" }, false},
		"mode":                    {func(e *Entry) { e.PolicyMode = ModeMonitor }, false},
		"mutation":                {func(e *Entry) { e.AllowedToMutate = new(true) }, false},
		"number as text":          {func(e *Entry) { e.Settings = json.RawMessage(`{"a":"1","b":[]}`) }, false},
		"empty list in settings":  {func(e *Entry) { e.Settings = json.RawMessage(`{"a":1}`) }, false},
		"refresh":                 {func(e *Entry) { e.Refresh = "now" }, false},
		"timeout":                 {func(e *Entry) { e.TimeoutEvalSeconds = new(int32(1)) }, false},
		"capabilities":            {func(e *Entry) { e.HostCapabilities = []string{"*"} }, false},
		"digits of a long number": {func(e *Entry) { e.Settings = json.RawMessage(`{"a":1.00000000000000000001,"b":[]}`) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := base
			tc.change(&changed)
			if got := mustHash(t, base) == mustHash(t, changed); got != tc.same {
				t.Errorf("got equal hashes: %t, want %t", got, tc.same)
			}
		})
	}
}

func TestPinnedDigest(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("ab", 32), "sha256:"+strings.Repeat("cd", 32)
	group := func(a, b string) Entry {
		return Entry{Expression: "a()", Policies: map[string]Member{
			"a": {Module: "m", ModuleDigest: a}, "b": {Module: "m", ModuleDigest: b},
		}}
	}
	for name, tc := range map[string]struct {
		entry Entry
		want  string
	}{
		"free policy":         {Entry{Module: "m"}, ""},
		"pinned policy":       {Entry{Module: "m", ModuleDigest: one}, one},
		"free member":         {group(one, ""), ""},
		"every member pinned": {group(one, two), GroupDigest(map[string]string{"b": two, "a": one})},
	} {
		if got := tc.entry.PinnedDigest(); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	if mustHash(t, group(one, "")) != mustHash(t, group("", two)) {
		t.Error("the pin of a member changes the hash of its group")
	}
	if GroupDigest(map[string]string{"a": one, "b": two}) == GroupDigest(map[string]string{"a": two, "b": one}) {
		t.Error("members whose modules are exchanged give the same digest")
	}
}

func TestEntryHashesDoNotChange(t *testing.T) {
	// These stand in reports and in the status of policies: an accidental change would
	// make every policy look as if it had to be rolled out again.
	hashes := map[string]string{}
	for id, entry := range samplePolicies() {
		hashes[id] = mustHash(t, entry)
	}
	got, err := json.MarshalIndent(hashes, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "hashes.json", append(got, '\n'))
}

func TestRefusedEntryHashesAsItsWriterDoes(t *testing.T) {
	entry := Entry{Module: "m", PolicyMode: "audit", Settings: json.RawMessage(`{"a":1}`)}
	written, err := EncodePolicies(Policies{"p": entry})
	if err != nil {
		t.Fatal(err)
	}
	policies, refused, err := DecodePolicies(written)
	if err != nil || len(policies) > 0 {
		t.Fatalf("got error %v, policies %v; want the entry refused", err, policies)
	}
	if want, got := mustHash(t, entry), RefusedHash(refused["p"]); want != got {
		t.Errorf("got hash %s, want %s", got, want)
	}
	want, err := ConfigRevision(Policies{"p": entry})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodedRevision(policies, refused); err != nil || got != want {
		t.Errorf("got config revision %s (error %v), want %s", got, err, want)
	}
}

func TestRevisionDependsOnModule(t *testing.T) {
	entry := Entry{Module: "m"}
	digest := "sha256:" + strings.Repeat("ab", 32)
	long, err := Revision(entry, digest)
	if err != nil {
		t.Fatal(err)
	}
	if short, _ := Revision(entry, ShortDigest(digest)); short != long {
		t.Errorf("got %s for the short digest, want %s as for the long one", short, long)
	}
	if other, _ := Revision(entry, "sha256:"+strings.Repeat("cd", 32)); other == long {
		t.Error("two modules give one revision")
	}
}

func FuzzDecodePolicies(f *testing.F) {
	seed, err := EncodePolicies(samplePolicies())
	if err != nil {
		f.Fatal(err)
	}
	upstream, err := os.ReadFile(filepath.Join("testdata", "upstream.yml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(upstream)
	f.Add([]byte("a: &x {module: m, settings: {k: [*x]}}"))
	f.Add([]byte("{\"a\":{\"module\":\"\\ud83d\\ude00\"}}"))
	f.Add([]byte("? [a]\n: b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		policies, refused, err := DecodePolicies(data)
		if err != nil {
			return
		}
		first, err := DecodedRevision(policies, refused)
		if err != nil {
			t.Fatalf("hash what was decoded: %v", err)
		}
		encoded, err := EncodePolicies(policies)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		again, refusedAgain, err := DecodePolicies(encoded)
		if err != nil || len(refusedAgain) > 0 {
			t.Fatalf("decode what was encoded: %v, refused %v", err, refusedAgain)
		}
		if second, _ := DecodedRevision(again, refused); second != first {
			t.Errorf("got revision %s after a round trip, want %s", second, first)
		}
	})
}
