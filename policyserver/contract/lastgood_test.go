package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var digestOne, digestTwo = "sha256:" + strings.Repeat("1", 64), "sha256:" + strings.Repeat("2", 64)

func lastGoodOf(t *testing.T, entry Entry, digests map[string]string) LastGood {
	t.Helper()
	good, err := NewLastGood(entry, digests)
	if err != nil {
		t.Fatal(err)
	}
	return good
}

func TestLastGoodRoundTrip(t *testing.T) {
	policy := Entry{UID: "p", Module: "r.test/p:v1", Settings: json.RawMessage(`{"a":1}`), Message: "m", HostCapabilities: []string{"*"}}
	group := Entry{UID: "g", Expression: "a()", Message: "m", Policies: map[string]Member{"a": {Module: "r.test/a:v1"}}}
	want := map[string]LastGood{
		"kw.cap.p":  lastGoodOf(t, policy, map[string]string{"": digestOne}),
		"kw.capg.g": lastGoodOf(t, group, map[string]string{"a": digestTwo}),
	}
	encoded, err := EncodeLastGood(want)
	if err != nil {
		t.Fatal(err)
	}
	const text = `{"kw.cap.p":{"uid":"p","revision":"` + `REVISION` + `","module":"r.test/p:v1","moduleDigest":"DIGEST","settings":{"a":1}},`
	begins := strings.NewReplacer("REVISION", want["kw.cap.p"].Revision, "DIGEST", digestOne).Replace(text)
	if !strings.HasPrefix(string(encoded), begins) {
		t.Errorf("got %s, want it to begin with %s", encoded, begins)
	}
	got, refused, err := DecodeLastGood(encoded)
	if err != nil || len(refused) > 0 {
		t.Fatalf("got refusals %v, error %v", refused, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	revision, _ := Revision(policy, digestOne)
	if got["kw.cap.p"].Revision != revision {
		t.Errorf("got revision %s, want that of the entry as it was served, %s", got["kw.cap.p"].Revision, revision)
	}
}

func TestDecodeLastGoodRefusesOneByOne(t *testing.T) {
	whole := `"uid":"u","revision":"r","module":"m","moduleDigest":"` + digestOne + `"`
	for name, tc := range map[string]struct{ entry, want string }{
		"no uid":                 {`{"revision":"r","module":"m","moduleDigest":"` + digestOne + `"}`, `field "uid" is missing`},
		"no digest":              {`{"uid":"u","revision":"r","module":"m"}`, `field "moduleDigest" is missing`},
		"an empty digest":        {`{"uid":"u","revision":"r","module":"m","moduleDigest":""}`, `field "moduleDigest": the module is not pinned by a digest`},
		"a short digest":         {`{"uid":"u","revision":"r","module":"m","moduleDigest":"sha256:11"}`, `want "sha256:" and 64 lower-case hex digits`},
		"a field from later":     {`{` + whole + `,"grants":[]}`, `unknown field "grants"; allowed are module, moduleDigest, revision, settings, uid`},
		"today's business":       {`{` + whole + `,"policyMode":"monitor"}`, `unknown field "policyMode"`},
		"no expression":          {`{"uid":"u","revision":"r","policies":{}}`, `field "expression" is missing`},
		"a member unpinned":      {`{"uid":"u","revision":"r","expression":"a()","policies":{"a":{"module":"m"}}}`, `member "a": field "moduleDigest" is missing`},
		"settings that are none": {`{` + whole + `,"settings":[]}`, `field "settings": got a list, want an object or null`},
		"no object":              {`[]`, "got a list, want an object"},
	} {
		t.Run(name, func(t *testing.T) {
			got, refused, err := DecodeLastGood([]byte(`{"bad":` + tc.entry + `,"good":{` + whole + `}}`))
			if err != nil || len(got) != 1 || got["good"].Module != "m" {
				t.Errorf("got %v, error %v; want the good one", got, err)
			}
			if refused["bad"] == nil || !strings.Contains(refused["bad"].Error(), tc.want) {
				t.Errorf("got refusal %v, want one with %q", refused["bad"], tc.want)
			}
		})
	}
	if _, _, err := DecodeLastGood([]byte("[]")); err == nil || !strings.Contains(err.Error(), "decode last good revisions: ") {
		t.Errorf("got error %v for a list", err)
	}
	if got, refused, err := DecodeLastGood(nil); len(got)+len(refused) > 0 || err != nil {
		t.Errorf("got %v, %v, %v for nothing", got, refused, err)
	}
}

func TestLastGoodUnderTodaysEntry(t *testing.T) {
	before := Entry{UID: "u", Module: "r.test/p:v1", Settings: json.RawMessage(`{"a":1}`), PolicyMode: ModeProtect, HostCapabilities: []string{"*"}, Message: "then"}
	today := Entry{
		UID: "u", Module: "r.test/p:v2", Settings: json.RawMessage(`{"a":2}`), PolicyMode: ModeMonitor, AllowedToMutate: new(true),
		HostCapabilities: []string{"net/*"}, Message: "now", TimeoutEvalSeconds: new(int32(3)),
	}
	want := today
	want.Module, want.ModuleDigest, want.Settings = before.Module, digestOne, before.Settings
	if diff := cmp.Diff(want, lastGoodOf(t, before, map[string]string{"": digestOne}).Under(today)); diff != "" {
		t.Errorf("policy; -want +got:\n%s", diff)
	}

	group := Entry{Expression: "a() && b()", Message: "then", Policies: map[string]Member{
		"a": {Module: "a:v1", HostCapabilities: []string{"*"}}, "b": {Module: "b:v1", HostCapabilities: []string{"*"}},
	}}
	todays := Entry{Expression: "a()", Message: "now", Policies: map[string]Member{"a": {Module: "a:v2", HostCapabilities: []string{"net/*"}}}}
	wantGroup := Entry{Expression: "a() && b()", Message: "now", Policies: map[string]Member{
		"a": {Module: "a:v1", ModuleDigest: digestOne, HostCapabilities: []string{"net/*"}}, "b": {Module: "b:v1", ModuleDigest: digestTwo},
	}}
	if diff := cmp.Diff(wantGroup, lastGoodOf(t, group, map[string]string{"a": digestOne, "b": digestTwo}).Under(todays)); diff != "" {
		t.Errorf("group; -want +got:\n%s", diff)
	}
	if _, still := todays.Policies["b"]; still || todays.Policies["a"].Module != "a:v2" {
		t.Errorf("today's entry was changed: %+v", todays)
	}
}

func TestHashesLeaveOutTheUID(t *testing.T) {
	entry := Entry{Module: "m", Settings: json.RawMessage(`{"a":1}`)}
	named := entry
	named.UID = "u"
	want, _ := EntryHash(entry)
	if got, _ := EntryHash(named); got != want {
		t.Errorf("got hash %s with a UID, want %s as without", got, want)
	}
	encoded, err := EncodePolicies(Policies{"a": named})
	if err != nil {
		t.Fatal(err)
	}
	decoded, refused, err := DecodePolicies(encoded)
	if err != nil || len(refused) > 0 || decoded["a"].UID != "u" {
		t.Errorf("got %+v, refusals %v, error %v; want the UID back", decoded["a"], refused, err)
	}
}

func TestServedNamesItsOwner(t *testing.T) {
	for text, want := range map[string]Served{
		`["r","d"]`:            {Revision: "r", ModuleDigest: "d"},
		`["r","d","o"]`:        {Revision: "r", ModuleDigest: "d", Owner: "o"},
		`["r","d","o","more"]`: {Revision: "r", ModuleDigest: "d", Owner: "o"},
	} {
		var got Served
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, error %v", text, got, err)
		}
	}
	encoded, err := json.Marshal(map[string]Served{"a": {"r", "d", ""}, "b": {"r", "d", OwnerHash("u")}})
	if want := `{"a":["r","d"],"b":["r","d","` + ShortHash("u") + `"]}`; err != nil || string(encoded) != want {
		t.Errorf("got %s, error %v; want %s", encoded, err, want)
	}
	served := Served{Owner: OwnerHash("u")}
	if !served.MayBe("u") || !served.MayBe("") || !(Served{}).MayBe("u") || served.MayBe("v") {
		t.Error("a policy is served for another custom resource, or not for its own")
	}
}
