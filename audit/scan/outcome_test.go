package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

func TestTheOutcomeTellsWhatTheSummaryCounts(t *testing.T) {
	summary := Summary{
		Objects: 9,
		Results: map[report.Outcome]int{report.OutcomePass: 3, report.OutcomeFail: 2, report.OutcomeError: 1, report.OutcomeSkip: 5},
		Kept:    7,
		Unasked: map[plan.Reason]int{plan.ReasonObjectSelector: 4},
		Reports: map[report.Written]int{report.Created: 1, report.Replaced: 2, report.Unchanged: 5},
		Deleted: 6, Shortened: 8,
		Skips: []plan.Skip{{PolicyID: "a", Reason: plan.ReasonVolatile}, {PolicyID: "b", Reason: plan.ReasonVolatile}},
		Unlisted: []Unlisted{
			{Resource: "secrets", Namespace: "b"}, {Resource: "roles", Namespace: "a"}, {Resource: "secrets", Namespace: "a"},
		},
	}
	want := operatorv1alpha1.AuditSummary{
		Objects: 9, Pass: 3, Fail: 2, Error: 1, Skip: 5, Kept: 7,
		Skipped: map[string]int64{"Volatile": 2}, Unasked: map[string]int64{"ObjectSelector": 4},
		Unlisted: []string{"roles", "secrets"}, UnlistedCount: 2,
		Written: 3, Unchanged: 5, Deleted: 6, Shortened: 8, Problem: "no more time",
	}
	if diff := cmp.Diff(want, summary.Outcome(errors.New("no more time"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (Summary{}).Outcome(nil); got.Problem != "" || got.Skipped != nil || len(got.Unlisted) > 0 {
		t.Errorf("a scan without work tells %+v", got)
	}
}

func TestTheOutcomeFitsIntoATerminationMessage(t *testing.T) {
	tests := map[string]string{
		"letters":         strings.Repeat("a", 5000),
		"quotes":          strings.Repeat(`"`, 5000),
		"control signs":   strings.Repeat("\x01", 5000),
		"many characters": strings.Repeat("\u00e4", 5000),
		"signs of HTML":   strings.Repeat("<", 5000),
	}
	for name, problem := range tests {
		t.Run(name, func(t *testing.T) {
			summary := Summary{}
			for i := range 2 * operatorv1alpha1.MaxAuditUnlisted {
				summary.Unlisted = append(summary.Unlisted, Unlisted{Resource: fmt.Sprintf("%03d%s", i, strings.Repeat("r", 250))})
			}
			encoded, err := Termination(summary.Outcome(errors.New(problem)))
			if err != nil {
				t.Fatal(err)
			}
			if len(encoded) > 4096 {
				t.Errorf("it has %d bytes", len(encoded))
			}
			got := operatorv1alpha1.AuditSummary{}
			if err := json.Unmarshal(encoded, &got); err != nil {
				t.Fatalf("%v: %s", err, encoded)
			}
			if got.UnlistedCount != 20 || len(got.Unlisted) == 0 || got.Problem == "" || len(got.Problem) > operatorv1alpha1.MaxAuditProblem {
				t.Errorf("it tells of %d resources, names %d, and of a problem of %d bytes", got.UnlistedCount, len(got.Unlisted), len(got.Problem))
			}
		})
	}
}
