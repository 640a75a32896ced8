package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
)

// many is what a number of policies say about an object, each with the same message: every
// tenth denies, every tenth could not be asked.
func many(scope corev1.ObjectReference, policies int, message string) Report {
	r := Report{Scope: scope}
	for i := range policies {
		result := Result{
			Policy:  &plan.Policy{ID: fmt.Sprintf("kw.cap.policy-%05d", i), Name: fmt.Sprintf("policy-%05d", i), Severity: "high", Category: "Resource validation"},
			Outcome: OutcomePass, Message: message, Time: asked,
		}
		switch i % 10 {
		case 3:
			result.Outcome = OutcomeFail
		case 5:
			result.Outcome = OutcomeError
		case 7:
			result.Outcome = OutcomeSkip
		}
		r.Results = append(r.Results, result)
	}
	return r
}

func TestAReportFitsWhatAnAPIServerTakes(t *testing.T) {
	// An angle bracket is six bytes in JSON.
	wide := strings.Repeat("<", maxMessage)
	cases := map[string]struct {
		policies int
		message  string
		// wantMessage is the longest message that is left, in bytes.
		wantMessage int
		wantLeftOut string
		want        Summary
	}{
		"few policies, long messages":       {policies: 20, message: wide, wantMessage: 1024, want: Summary{Pass: 14, Fail: 2, Error: 2, Skip: 2}},
		"many policies, no messages":        {policies: 1000, want: Summary{Pass: 700, Fail: 100, Error: 100, Skip: 100}},
		"some hundred, long messages":       {policies: 400, message: wide, wantMessage: 256, wantLeftOut: "messages are cut at 256 bytes", want: Summary{Pass: 280, Fail: 40, Error: 40, Skip: 40}},
		"a thousand, long messages":         {policies: 1000, message: wide, wantMessage: 64, wantLeftOut: "messages are cut at 64 bytes", want: Summary{Pass: 700, Fail: 100, Error: 100, Skip: 100}},
		"too many":                          {policies: 1500, message: wide, wantMessage: 64, wantLeftOut: "messages are cut at 64 bytes; ", want: Summary{Fail: 150, Error: 150}},
		"too many, all of which say little": {policies: 2500, wantLeftOut: "messages are cut at 64 bytes; ", want: Summary{Fail: 250, Error: 250, Skip: 250}},
	}
	for name, tc := range cases {
		for _, kind := range Kinds() {
			t.Run(string(kind)+": "+name, func(t *testing.T) {
				r := many(pod(), tc.policies, tc.message)
				encoded, err := json.Marshal(store(t, kind).Render(r))
				if err != nil {
					t.Fatal(err)
				}
				if len(encoded) > maxReport {
					t.Errorf("the report has %d bytes, at most %d are wanted", len(encoded), maxReport)
				}
				c := r.content()
				if !strings.HasPrefix(c.LeftOut, tc.wantLeftOut) || (c.LeftOut == "") != (tc.wantLeftOut == "") {
					t.Errorf("left out: %q, want %q", c.LeftOut, tc.wantLeftOut)
				}
				if got := longest(c); got != tc.wantMessage {
					t.Errorf("the longest message has %d bytes, want %d", got, tc.wantMessage)
				}
				checkCounts(t, c, tc.policies, tc.want)
			})
		}
	}
}

// longest is how long the longest message is, in bytes.
func longest(c content) int {
	most := 0
	for _, result := range c.Results {
		most = max(most, len(result.Message))
	}
	return most
}

// checkCounts wants at least so many results of each outcome, and to be told how many lack.
func checkCounts(t *testing.T, c content, policies int, want Summary) {
	t.Helper()
	got := c.Summary
	if got != recount(c.Results) {
		t.Errorf("summary = %+v, a recount gives %+v", got, recount(c.Results))
	}
	if got.Pass < want.Pass || got.Fail != want.Fail || got.Error != want.Error || got.Skip < want.Skip {
		t.Errorf("summary = %+v, want at least %+v", got, want)
	}
	if lack := policies - len(c.Results); lack > 0 && !strings.Contains(c.LeftOut, fmt.Sprintf("; %d of %d results are left out", lack, policies)) {
		t.Errorf("%d results lack, told is %q", lack, c.LeftOut)
	}
}

func TestWhatIsLeftOutIsReadBack(t *testing.T) {
	for _, kind := range Kinds() {
		s := store(t, kind)
		r := many(pod(), 2500, "no")
		object, is := s.Render(r).(interface{ GetAnnotations() map[string]string })
		if !is {
			t.Fatal("a report is no object of the API")
		}
		want := map[string]string{"kubewarden.io/audit-left-out": r.content().LeftOut}
		if diff := cmp.Diff(want, object.GetAnnotations()); diff != "" {
			t.Errorf("%s: annotations (-want +got):\n%s", kind, diff)
		}
	}
}
