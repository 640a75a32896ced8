package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func sampleReport(policies int) Report {
	report := Report{
		Contract: Version, Version: "0.1.0", StartTime: "2026-01-02T03:04:05Z",
		SetRevision: "0123456789ab", ConfigRevision: "ba9876543210",
		ServingCertificate: strings.Repeat("ab", 32),
		Policies:           map[string]Served{}, Failures: map[string]Failure{}, Digests: map[string]string{},
	}
	for i := range policies {
		hash := shortHash(fmt.Append(nil, i))
		report.Policies[fmt.Sprintf("kw.cap.policy-%04d", i)] = Served{Revision: hash, ModuleDigest: shortHash([]byte(hash))}
		if i%2 == 0 {
			report.Digests[fmt.Sprintf("kw.cap.policy-%04d", i)] = sampleDigest(hash)
		}
		if i%4 == 0 {
			report.Failures[fmt.Sprintf("kw.cap.policy-%04d", i)] = NewFailure(hash, ReasonInvalidSettings, sampleMessage(hash))
		}
	}
	return report
}

func sampleDigest(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sampleMessage is a long message that does not compress well.
func sampleMessage(seed string) string {
	const words = 25
	message := "settings are wrong:"
	for range words {
		seed = shortHash([]byte(seed))
		message += " " + seed
	}
	return message
}

func TestEncodeReportIsReadable(t *testing.T) {
	payload, compressed, err := EncodeReport(sampleReport(2), 0)
	if err != nil || compressed {
		t.Fatalf("got error %v, compressed %t; want plain JSON", err, compressed)
	}
	golden(t, "report.json", append(payload, '\n'))
}

func TestEncodeReportSizes(t *testing.T) {
	for name, tc := range map[string]struct {
		policies, limit           int
		wantCompressed, truncated bool
	}{
		"small":                          {policies: 10},
		"large, compressed":              {policies: 400, wantCompressed: true},
		"messages go first":              {policies: 400, limit: 19 << 10, wantCompressed: true, truncated: true},
		"then digests":                   {policies: 400, limit: 12 << 10, wantCompressed: true, truncated: true},
		"then failures":                  {policies: 400, limit: 8500, wantCompressed: true, truncated: true},
		"then policies":                  {policies: 400, limit: 600, truncated: true},
		"limit for a hundred replicas":   {policies: 1000, limit: ReportLimit(100), truncated: true},
		"limit for more replicas than 0": {policies: 300, limit: ReportLimit(0), wantCompressed: true},
	} {
		t.Run(name, func(t *testing.T) {
			want := sampleReport(tc.policies)
			payload, compressed, err := EncodeReport(want, tc.limit)
			if err != nil || (tc.limit > 0 && len(payload) > tc.limit) {
				t.Fatalf("got %d bytes, error %v; want at most %d bytes", len(payload), err, tc.limit)
			}
			if tc.wantCompressed && !compressed {
				t.Errorf("got %d plain bytes, want them compressed", len(payload))
			}
			got := decodeOne(t, payload, compressed)
			if got.Truncated != tc.truncated {
				t.Errorf("got truncated %t, want %t", got.Truncated, tc.truncated)
			}
			if !tc.truncated {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

func decodeOne(t *testing.T, payload []byte, compressed bool) Report {
	t.Helper()
	data, binaryData := map[string]string{}, map[string][]byte{}
	if compressed {
		binaryData["pod"] = payload
	} else {
		data["pod"] = string(payload)
	}
	reports, unreadable := DecodeReports(data, binaryData)
	if len(unreadable) > 0 {
		t.Fatal(unreadable)
	}
	return reports["pod"]
}

func TestEncodeReportTruncatesInOrder(t *testing.T) {
	full := sampleReport(400)
	atLimit := func(limit int) Report {
		t.Helper()
		payload, compressed, err := EncodeReport(full, limit)
		if err != nil {
			t.Fatal(err)
		}
		return decodeOne(t, payload, compressed)
	}
	type counts struct{ Policies, Failures, Digests int }
	count := func(report Report) counts {
		return counts{len(report.Policies), len(report.Failures), len(report.Digests)}
	}
	silent := atLimit(19 << 10)
	if diff := cmp.Diff(counts{400, 100, 200}, count(silent)); diff != "" {
		t.Errorf("messages are enough; -want +got:\n%s", diff)
	}
	for id, failure := range silent.Failures {
		if failure.Message != "" || failure.Reason == "" {
			t.Fatalf("%s: got %+v, want a reason without a message", id, failure)
		}
	}
	if got := count(atLimit(12 << 10)); got.Policies != 400 || got.Failures != 100 || got.Digests == 0 || got.Digests == 200 {
		t.Errorf("got %+v, want all but some of the digests", got)
	}
	if got := count(atLimit(8500)); got.Policies != 400 || got.Failures == 0 || got.Failures == 100 || got.Digests != 0 {
		t.Errorf("got %+v, want all policies, no digests and some of the failures", got)
	}
	shorter := atLimit(6 << 10)
	if got := count(shorter); got.Policies == 0 || got.Policies == 400 || got.Failures != 0 || got.Digests != 0 {
		t.Errorf("got %+v, want some of the policies and nothing else", got)
	}
	if _, kept := shorter.Policies["kw.cap.policy-0000"]; !kept {
		t.Error("the first ID went before the last")
	}
	if _, _, err := EncodeReport(full, 10); err == nil {
		t.Error("got no error for a limit that nothing fits in")
	}
}

func TestEncodeReportIsDeterministic(t *testing.T) {
	first, _, err := EncodeReport(sampleReport(400), 0)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := EncodeReport(sampleReport(400), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("equal reports give different bytes: every one of them would be a write")
	}
}

func TestDecodeReportsKeepsTheReadableOnes(t *testing.T) {
	payload, _, err := EncodeReport(sampleReport(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	reports, unreadable := DecodeReports(
		map[string]string{"good": string(payload), "broken": "{", "pair": `{"policies":{"a":["x"]}}`, "newer": `{"contract":9,"more":{}}`},
		map[string][]byte{"plain": []byte("{}")})
	for _, replica := range []string{"good", "pair", "newer"} {
		if _, found := reports[replica]; !found {
			t.Errorf("%s is not read: %v", replica, unreadable[replica])
		}
	}
	for _, replica := range []string{"broken", "plain"} {
		if unreadable[replica] == nil {
			t.Errorf("%s has no error", replica)
		}
	}
}

func TestNewFailureCutsMessages(t *testing.T) {
	for name, message := range map[string]string{
		"ASCII":       strings.Repeat("x", 1000),
		"long runes":  strings.Repeat("€", 1000),
		"shifted":     "x" + strings.Repeat("€", 1000),
		"not unicode": strings.Repeat("\xffx", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			got := NewFailure("", ReasonFetchFailed, message).Message
			if len(got) > MaxMessageBytes || len(got) < MaxMessageBytes-8 || !utf8.ValidString(got) || !strings.HasSuffix(got, "...") {
				t.Errorf("got %d bytes: %q", len(got), got)
			}
		})
	}
	if got := NewFailure("", ReasonFetchFailed, "short").Message; got != "short" {
		t.Errorf("got %q, want it unchanged", got)
	}
}
