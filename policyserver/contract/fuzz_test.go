package contract

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Whatever sources.yml holds is refused with words, or says the same when it is written and
// read again.
func FuzzDecodeSources(f *testing.F) {
	for _, seed := range []string{
		"insecure_sources: [registry.example:5000]\nsource_authorities:\n  registry.example:\n  - {type: Data, data: pem}\n  - {type: Path, path: /ca.pem}\n",
		`{"insecure_sources":["a"],"source_authorities":{"b":[{"type":"Data","data":"c"}]},"proxies":{}}`,
		"proxies: {http_proxy: 'user:p@proxy.test:3128', https_proxy: ~, no_proxy: '*'}\n", "proxies: {http_proxy: 'http://%zz@'}\n",
		"mirrors: {ghcr.io: ['mirror.test:5000/ghcr', '[::1]:5000'], docker.io/org: []}\n",
		"insecure_sources: on\n", "insecure_sources: [~]\n", "a: &a [*a]\n", "source_authorities: {a: [{type: Data}]}\n", "{}", "", "- a\n",
		"insecure_sources: [a]\ninsecure_sources: [b]\n", "insecure_sources: !!binary aGk=\n", "? [a]\n: b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sources, err := DecodeSources(data)
		if err != nil {
			return
		}
		encoded, err := EncodeSources(sources)
		if err != nil {
			t.Fatalf("encode %+v: %v", sources, err)
		}
		again, err := DecodeSources(encoded)
		if err != nil {
			t.Fatalf("decode %s again: %v", encoded, err)
		}
		if diff := cmp.Diff(sources, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-want +got after %s:\n%s", encoded, diff)
		}
	})
}

// Whatever the settings of a policy are, what a guest is given is a JSON object or nothing,
// and its text survives being written and read again: policies share a revision by it.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{
		"{size: 9007199254740993, ratio: 1.50, on: off, 'yes': no, nested: [null, {a: ~}]}", `{"a":"\u0041<>&","b":1e400}`, "{a: 0x1F, b: 0o17, c: .inf, d: -0}",
		"{a: 2001-12-14, b: !!str 7, c: |\n  x\n }", "[1]", "text", "~", "{}", "{1: 2}", "{a: {b: &x [1], c: *x}}", "{? {a: b} : c}", "{a: 1, a: 2}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, settings []byte) {
		file := append([]byte("p:\n  module: m\n  settings: "), settings...)
		policies, _, err := DecodePolicies(file)
		entry, found := policies["p"]
		if err != nil || !found || entry.Settings == nil {
			return
		}
		if text := bytes.TrimSpace(entry.Settings); !json.Valid(text) || (text[0] != '{' && string(text) != "null") {
			t.Fatalf("got settings %s, want a JSON object", text)
		}
		encoded, err := EncodePolicies(Policies{"p": entry})
		if err != nil {
			t.Fatalf("encode %s: %v", entry.Settings, err)
		}
		again, refused, err := DecodePolicies(encoded)
		if err != nil || refused["p"] != nil {
			t.Fatalf("decode %s again: %v, refused %v", encoded, err, refused)
		}
		before, _ := EntryHash(entry)
		if after, _ := EntryHash(again["p"]); before != after {
			t.Errorf("got hash %s for %s, want %s as for %s", after, again["p"].Settings, before, entry.Settings)
		}
	})
}

// A replica can write anything into its report: it is that replica's report or unreadable,
// and a report that is read says the same when it is written and read again.
func FuzzDecodeReports(f *testing.F) {
	report := Report{
		Contract: 1, Version: "0.1.0", SetRevision: "abc", Policies: map[string]Served{"p": {Revision: "r", ModuleDigest: "d"}},
		Failures: map[string]Failure{"q": {Wanted: "w", Reason: ReasonFetchFailed, Message: "no"}},
	}
	plain, _, err := EncodeReport(report, 0)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 2000 {
		report.Policies[string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))] = Served{Revision: "0123456789ab", ModuleDigest: "0123456789ab"}
	}
	packed, compressed, err := EncodeReport(report, 0)
	if err != nil || !compressed {
		f.Fatalf("got error %v, compressed %t, want a compressed report", err, compressed)
	}
	f.Add(string(plain), packed)
	f.Add(`{"policies":{"a":null},"failures":[]}`, packed[:len(packed)/2])
	f.Add(`null`, []byte{0x1f, 0x8b})
	f.Add(`{"contract":1e9}`, []byte{})
	f.Fuzz(func(t *testing.T, text string, packed []byte) {
		reports, unreadable := DecodeReports(map[string]string{"pod-1": text}, map[string][]byte{"pod-2": packed})
		if len(reports)+len(unreadable) != 2 {
			t.Fatalf("got %d reports and %d unreadable, want 2 together", len(reports), len(unreadable))
		}
		for replica, report := range reports {
			checkReportAgain(t, replica, report)
		}
	})
}

// checkReportAgain writes a report and reads it again.
func checkReportAgain(t *testing.T, replica string, report Report) {
	t.Helper()
	payload, compressed, err := EncodeReport(report, 0)
	if err != nil || len(payload) > MaxReportBytes {
		return // too large for a report, which no replica of ours writes
	}
	data, binaryData := map[string]string{replica: string(payload)}, map[string][]byte(nil)
	if compressed {
		data, binaryData = nil, map[string][]byte{replica: payload}
	}
	again, failed := DecodeReports(data, binaryData)
	if failed[replica] != nil {
		t.Fatalf("decode %s again: %v", payload, failed[replica])
	}
	if diff := cmp.Diff(report, again[replica], cmpopts.EquateEmpty()); diff != "" && !again[replica].Truncated {
		t.Errorf("-want +got after %s:\n%s", payload, diff)
	}
}

// Whatever last-good.yml holds, each of its entries is read or refused, and what is read
// says the same when it is written and read again.
func FuzzDecodeLastGood(f *testing.F) {
	seed, err := EncodeLastGood(map[string]LastGood{
		"kw.cap.p":  {UID: "p", Revision: "r", Module: "r.test/p:v1", ModuleDigest: digestOne, Settings: json.RawMessage(`{"a":1.50}`)},
		"kw.capg.g": {UID: "g", Revision: "r", Expression: "a()", Policies: map[string]LastGoodMember{"a": {Module: "m", ModuleDigest: digestTwo}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	for _, seed := range []string{
		"", " \n", "[]", "p: {uid: u, revision: r, module: m, moduleDigest: 'sha256:00'}", "p: {uid: u, revision: r, policies: {}, expression: 'true'}",
		"p: {uid: u, revision: r, policies: {a: ~}, expression: ''}", "p: {uid: 7}\nq: ~", "p: &p {uid: *p}", "p: {}\np: {}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		good, _, err := DecodeLastGood(data)
		if err != nil {
			return
		}
		written, err := EncodeLastGood(good)
		if err != nil {
			t.Fatalf("encode %+v: %v", good, err)
		}
		again, refused, err := DecodeLastGood(written)
		if err != nil {
			t.Fatalf("decode %s again: %v", written, err)
		}
		for id := range refused {
			if len(good[id].Policies) > 0 || good[id].Expression == "" {
				t.Errorf("%s is refused when it is read again: %v", id, refused[id])
			}
			delete(good, id) // a group without members, which nothing serves
		}
		if rewritten, err := EncodeLastGood(again); err != nil || len(refused) == 0 && !bytes.Equal(rewritten, written) {
			t.Errorf("got %s, %v; want %s as before", rewritten, err, written)
		}
	})
}
