package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

var update = flag.Bool("update", false, "write the golden files anew")

const runUID = "0e6b7b3c-5b0b-4b0e-9a51-3a8f1fb3f7d1"

var asked = time.Date(2026, 11, 25, 12, 0, 0, 987654321, time.UTC)

func privileged() *plan.Policy {
	return &plan.Policy{
		ID: "kw.cap.privileged-pods", Name: "privileged-pods", UID: "7c3a1f8e-0000-4000-8000-000000000001", ResourceVersion: "101",
		Severity: "high", Category: "PSP",
	}
}

func labels() *plan.Policy {
	return &plan.Policy{
		ID: "kw.ap.team-a.labels", Name: "labels", Namespace: "team-a", UID: "7c3a1f8e-0000-4000-8000-000000000002", ResourceVersion: "102",
		Monitor: true, Mutating: true, Severity: "critical",
	}
}

func unique() *plan.Policy {
	return &plan.Policy{
		ID: "kw.capg.unique", Name: "unique", UID: "7c3a1f8e-0000-4000-8000-000000000003", ResourceVersion: "103",
		ContextAware: true, Severity: "catastrophic",
	}
}

func pod() corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: "team-a", Name: "web", UID: "7c3a1f8e-0000-4000-8000-00000000000a", ResourceVersion: "42",
	}
}

func node() corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "one", UID: "7c3a1f8e-0000-4000-8000-00000000000b", ResourceVersion: "43"}
}

// said is what three policies say about an object, not in order.
func said(scope corev1.ObjectReference) Report {
	return Report{Scope: scope, Results: []Result{
		{Policy: unique(), Outcome: OutcomeError, Message: "policy server default does not exist", Time: asked},
		{Policy: privileged(), Outcome: OutcomePass, Time: asked, Basis: "request and revision"},
		{Policy: labels(), Outcome: OutcomeFail, Message: "label owner is missing", Time: asked},
	}}
}

func store(t *testing.T, kind Kind) *Store {
	t.Helper()
	s, err := NewStore(nil, kind, runUID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goldens are the reports of the golden files: one for each outcome, and several at once.
func goldens() map[string]Report {
	one := func(policy *plan.Policy, outcome Outcome, message string) Report {
		return Report{Scope: pod(), Results: []Result{{Policy: policy, Outcome: outcome, Message: message, Time: asked}}}
	}
	withRule := one(privileged(), OutcomeFail, "must not be deleted")
	withRule.Results[0].Operation = matching.Delete
	return map[string]Report{
		"namespaced": said(pod()),
		"cluster":    said(node()),
		"no-results": {Scope: pod()},

		"pass":              one(privileged(), OutcomePass, ""),
		"pass-with-message": one(privileged(), OutcomePass, "allowed for now"),
		"fail":              one(privileged(), OutcomeFail, "privileged is set"),
		"fail-in-monitor":   one(labels(), OutcomeFail, "label owner is missing"),
		"fail-of-deletion":  withRule,
		"error":             one(unique(), OutcomeError, "policy server default does not exist"),
		"skip":              one(privileged(), OutcomeSkip, "not asked: rights of others cannot be found out"),
		"foreign-text":      one(privileged(), OutcomeFail, "\x1b[31mred\x1b[0m\nand \u202eback"),
	}
}

func TestReportsAreWrittenAsOtherToolsReadThem(t *testing.T) {
	for _, kind := range Kinds() {
		for name, r := range goldens() {
			t.Run(string(kind)+"-"+name, func(t *testing.T) {
				encoded, err := yaml.Marshal(store(t, kind).Render(r))
				if err != nil {
					t.Fatal(err)
				}
				golden(t, string(kind)+"-"+name+".yaml", encoded)
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestGoldensDecodeStrictly reads the golden files with the types of both APIs, which are
// what their consumers use, refuses fields that those do not have, and recounts.
func TestGoldensDecodeStrictly(t *testing.T) {
	for _, kind := range Kinds() {
		for name, r := range goldens() {
			t.Run(string(kind)+"-"+name, func(t *testing.T) {
				report, err := familyOf(kind)
				if err != nil {
					t.Fatal(err)
				}
				decoded := report.empty(r.Scope.Namespace)
				decodeStrictly(t, string(kind)+"-"+name+".yaml", decoded)
				c, err := report.read(decoded)
				if err != nil {
					t.Fatal(err)
				}
				checkResults(t, c, len(r.Results))
			})
		}
	}
}

func checkResults(t *testing.T, c content, want int) {
	t.Helper()
	if len(c.Results) != want {
		t.Errorf("%d results, want %d", len(c.Results), want)
	}
	if got := recount(c.Results); got != c.Summary {
		t.Errorf("summary = %+v, a recount of the results gives %+v", c.Summary, got)
	}
	for _, result := range c.Results {
		if !slices.Contains([]Outcome{"pass", "fail", "warn", "error", "skip"}, result.Outcome) {
			t.Errorf("no report API knows the outcome %q", result.Outcome)
		}
	}
}

// recount counts in its own way, outcome by outcome.
func recount(results []entry) Summary {
	counted := map[Outcome]int{}
	for _, result := range results {
		counted[result.Outcome]++
	}
	return Summary{Pass: counted["pass"], Fail: counted["fail"], Warn: counted["warn"], Error: counted["error"], Skip: counted["skip"]}
}

func decodeStrictly(t *testing.T, name string, into client.Object) {
	t.Helper()
	encoded, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(encoded)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("decode %s into %T: %v", name, into, err)
	}
}

func TestReadIsTheInverseOfWrite(t *testing.T) {
	for _, kind := range Kinds() {
		for _, scope := range []corev1.ObjectReference{pod(), node()} {
			t.Run(string(kind)+"-"+scope.Kind, func(t *testing.T) {
				s := store(t, kind)
				r := said(scope)
				got, err := s.family.read(s.family.write(s.metadata(r), r.content()))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(r.content(), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestReadRefusesAnotherKind(t *testing.T) {
	for _, kind := range Kinds() {
		chosen, err := familyOf(kind)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chosen.read(&corev1.Pod{}); err == nil || !strings.Contains(err.Error(), "*v1.Pod is not a kind of "+chosen.groupVersion().String()) {
			t.Errorf("%s: error = %v", kind, err)
		}
	}
}

func TestDigestIgnoresWhenAReportWasWritten(t *testing.T) {
	of := func(runUID string, change func(*Report)) digest {
		s := &Store{family: wgpolicy{}, runUID: runUID}
		r := said(pod())
		change(&r)
		d, err := digestOf(s.metadata(r), r.content())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := of(runUID, func(*Report) {})
	same := map[string]digest{
		"another scan":                           of("another", func(*Report) {}),
		"another time":                           of(runUID, func(r *Report) { r.Results[0].Time = asked.Add(time.Hour) }),
		"another order":                          of(runUID, func(r *Report) { r.Results[0], r.Results[2] = r.Results[2], r.Results[0] }),
		"another word in the status of a policy": of(runUID, func(r *Report) { r.Results[1].Policy.ResourceVersion = "104" }),
	}
	for name, got := range same {
		if got != first {
			t.Errorf("%s makes another digest", name)
		}
	}
	different := map[string]digest{
		"another outcome":                 of(runUID, func(r *Report) { r.Results[1].Outcome = OutcomeFail }),
		"another message":                 of(runUID, func(r *Report) { r.Results[2].Message = "" }),
		"a skip":                          of(runUID, func(r *Report) { r.Results[1].Outcome = OutcomeSkip }),
		"a result less":                   of(runUID, func(r *Report) { r.Results = r.Results[1:] }),
		"another revision of the object":  of(runUID, func(r *Report) { r.Scope.ResourceVersion = "44" }),
		"another basis of a verdict":      of(runUID, func(r *Report) { r.Results[1].Basis = "another" }),
		"a policy that is now in monitor": of(runUID, func(r *Report) { r.Results[1].Policy.Monitor = true }),
	}
	for name, got := range different {
		if got == first {
			t.Errorf("%s makes the same digest", name)
		}
	}
}

func TestParseKind(t *testing.T) {
	for _, kind := range Kinds() {
		if got, err := ParseKind(string(kind)); err != nil || got != kind {
			t.Errorf("ParseKind(%q) = %q, %v", kind, got, err)
		}
	}
	_, err := ParseKind("openreport")
	if err == nil || err.Error() != `report kind "openreport" is not known; allowed are policyreport, openreports` {
		t.Errorf("error = %v", err)
	}
	if _, err := NewStore(nil, "openreport", runUID); err == nil {
		t.Error("a store of an unknown kind was made")
	}
}
