package scan

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
)

func TestTheSummaryCountsByReasonWhatIsAskedAndNot(t *testing.T) {
	summary := Summary{
		Skips: []plan.Skip{
			{PolicyID: "a", Reason: plan.ReasonVolatile, Subject: "events"},
			{PolicyID: "a", Reason: plan.ReasonVolatile, Subject: "leases"},
			{PolicyID: "b", Reason: plan.ReasonNotActive},
		},
		Kept:    5,
		Asked:   map[Asked]int{AskedChanged: 4},
		Unasked: map[plan.Reason]int{plan.ReasonObjectSelector: 3, plan.ReasonNeverLockOut: 1},
	}
	var out bytes.Buffer
	summary.log(t.Context(), slog.New(slog.NewJSONHandler(&out, nil)))
	got := struct {
		SkippedByReason, UnaskedByReason, AskedByReason map[string]int

		Kept int
	}{}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"Volatile": 2, "NotActive": 1}, got.SkippedByReason); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"ObjectSelector": 3, "NeverLockOut": 1}, got.UnaskedByReason); diff != "" {
		t.Errorf("not asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"Changed": 4}, got.AskedByReason); diff != "" || got.Kept != 5 {
		t.Errorf("kept %d, want 5; asked (-want +got):\n%s", got.Kept, diff)
	}
}
