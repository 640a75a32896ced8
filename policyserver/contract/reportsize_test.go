package contract

import (
	"fmt"
	"strings"
	"testing"
)

// worstReport is that of a replica to which everything happens at once: every policy has a
// long ID, a digest that nothing pins, and a failure with the longest message.
func worstReport(policies int, replica string) Report {
	report := sampleReport(0)
	for i := range policies {
		seed := fmt.Sprint(replica, i)
		hash := shortHash([]byte(seed))
		id := AdmissionPolicyID(fmt.Sprintf("namespace-of-tenant-%s", shortHash([]byte(hash))), fmt.Sprintf("policy-%s", hash))
		report.Policies[id] = Served{Revision: hash, ModuleDigest: shortHash([]byte(hash + "m")), Owner: OwnerHash(id)}
		report.Digests[id] = sampleDigest(hash)
		report.Failures[id] = NewFailure(hash, ReasonInvalidSettings, sampleMessage(hash))
	}
	return report
}

// TestReportsOf500PoliciesAnd10Replicas holds the promise of sizes: twice as many replicas
// report while they are replaced, and one more may be on its way.
func TestReportsOf500PoliciesAnd10Replicas(t *testing.T) {
	const policies, replicas = 500, 2*10 + 1
	limit, total := ReportLimit(replicas), 0
	if limit > MaxReportBytes {
		t.Fatalf("limit is %d bytes, want at most %d", limit, MaxReportBytes)
	}
	for i := range replicas {
		replica := fmt.Sprintf("policy-server-default-0123456789-%05d", i)
		payload, compressed, err := EncodeReport(worstReport(policies, replica), limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) > limit {
			t.Fatalf("report %d has %d bytes, want at most %d", i, len(payload), limit)
		}
		total += len(replica) + len(payload)
		got := decodeOne(t, payload, compressed)
		if len(got.Policies) != policies || len(got.Failures) != policies || len(got.Digests) == 0 || !got.Truncated {
			t.Fatalf("got %d policies, %d failures and %d digests, cut %t; want all but messages and some digests, which go as they are pinned",
				len(got.Policies), len(got.Failures), len(got.Digests), got.Truncated)
		}
	}
	if most := 1 << 20; total > most {
		t.Errorf("all reports have %d bytes, want at most %d", total, most)
	}
	t.Logf("%d reports of at most %d bytes have %d bytes together", replicas, limit, total)
}

// TestReportOf500HealthyPoliciesIsWhole: as long as all is well nothing is cut, however many
// replicas there are within reason.
func TestReportOf500HealthyPoliciesIsWhole(t *testing.T) {
	report := worstReport(500, "pod")
	report.Failures, report.Digests = nil, nil
	payload, compressed, err := EncodeReport(report, ReportLimit(2*20+1))
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeOne(t, payload, compressed); got.Truncated || len(got.Policies) != 500 {
		t.Errorf("got %d policies, cut %t; want 500, not cut", len(got.Policies), got.Truncated)
	}
}

func TestReportThatWasCutSaysLess(t *testing.T) {
	whole := Report{Policies: map[string]Served{"a": {}}}
	cut := whole
	cut.Truncated = true
	for name, tc := range map[string]struct {
		report              Report
		knowsOther, perfect bool
	}{
		"whole":             {whole, true, true},
		"cut":               {cut, false, false},
		"cut, with digests": {Report{Truncated: true, Digests: map[string]string{"a": "x"}}, false, true},
		"with a failure":    {Report{Failures: map[string]Failure{"a": {}}}, true, false},
	} {
		if got := tc.report.Knows("other"); got != tc.knowsOther {
			t.Errorf("%s: knows of a policy that it does not name: %t, want %t", name, got, tc.knowsOther)
		}
		if got := tc.report.Flawless(); got != tc.perfect {
			t.Errorf("%s: flawless %t, want %t", name, got, tc.perfect)
		}
	}
	if !cut.Knows("a") {
		t.Error("a report that was cut does not know what it names")
	}
}

func BenchmarkDecodeReports(b *testing.B) {
	binaryData := map[string][]byte{}
	for i := range 10 {
		payload, _, err := EncodeReport(worstReport(500, fmt.Sprint(i)), ReportLimit(21))
		if err != nil {
			b.Fatal(err)
		}
		binaryData["pod-"+strings.Repeat("x", i)] = payload
	}
	for b.Loop() {
		DecodeReports(nil, binaryData)
	}
}
