package evaluation

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// TestAnAuditIsToldTheRevisionThatAVerdictFollowsFrom holds that the revision is the one
// that a replica reports, and that it is not told of a verdict that may change by itself.
func TestAnAuditIsToldTheRevisionThatAVerdictFollowsFrom(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		for _, word := range []string{"accept", "no", "trap", "hang", "vary accept", "broken"} {
			w.serve(word, word)
		}
		w.applyAndWait(entries(contract.Policies{
			"accepts": {Module: "accept"}, "denies": {Module: "no"}, "traps": {Module: "trap"}, "hangs": {Module: "hang"},
			"varies": {Module: "vary accept"}, "cannot-be-loaded": {Module: "broken"},
			"group":           groupOf("accept() && !no()", map[string]string{"accept": "accept", "no": "no"}),
			"varying-group":   groupOf("accept() && vary()", map[string]string{"accept": "accept", "vary": "vary accept"}),
			"group-not-asked": groupOf("accept() || vary()", map[string]string{"accept": "accept", "vary": "vary accept"}),
			"failing-group":   groupOf("accept() && trap()", map[string]string{"accept": "accept", "trap": "trap"}),
		}))
		reported := w.Snapshot().Policies
		cases := map[string]bool{
			"accepts": true, "denies": true, "traps": false, "hangs": false, "varies": false, "cannot-be-loaded": false,
			"group": true, "varying-group": false, "group-not-asked": true, "failing-group": false,
		}
		for id, follows := range cases {
			want := ""
			if follows {
				want = reported[id].Revision
			}
			got, err := w.Evaluate(t.Context(), id, Request{Origin: OriginAudit})
			if err != nil || got.Revision != want || follows && want == "" {
				t.Errorf("%s: revision %q, error %v; want %q", id, got.Revision, err, want)
			}
			if got, err := w.Evaluate(t.Context(), id, Request{Origin: OriginValidate}); err != nil || got.Revision != "" {
				t.Errorf("%s: an admission is told revision %q, error %v", id, got.Revision, err)
			}
		}
		got, err := w.Evaluate(t.Context(), "accepts", Request{Origin: OriginAudit, Namespace: "exempt"})
		if err != nil || got.Revision != "" {
			t.Errorf("accepted without being asked: revision %q, error %v", got.Revision, err)
		}
	})
}
