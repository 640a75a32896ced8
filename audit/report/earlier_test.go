package report

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// saidBefore is the stored report of what said(pod()) has and one more operation.
func saidBefore(t *testing.T) *v1alpha2.PolicyReport {
	t.Helper()
	r := said(pod())
	r.Results = append(r.Results, Result{Policy: privileged(), Operation: matching.Delete, Outcome: OutcomeFail, Time: asked, Basis: "deletion"})
	stored, is := store(t, KindPolicyReport).Render(r).(*v1alpha2.PolicyReport)
	if !is {
		t.Fatal("not a PolicyReport")
	}
	return stored
}

// TestEarlierResultsAreFoundWithRoomForThemAndWithout holds that what does not fit into
// memory is read when it is asked for.
func TestEarlierResultsAreFoundWithRoomForThemAndWithout(t *testing.T) {
	for name, tc := range map[string]struct {
		limit int64
		gets  int
	}{"with room": {maxHeld, 0}, "without": {4 * resultBytes, 1}} {
		t.Run(name, func(t *testing.T) {
			gets := 0
			s := failingStore(t, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
				gets++
				return c.Get(ctx, key, into, options...)
			}}, saidBefore(t))
			s.held.limit = tc.limit
			session := open(t, s)
			got, err := session.Earlier(t.Context(), pod().UID)
			if err != nil || gets != tc.gets {
				t.Fatalf("%d reads, want %d; error %v", gets, tc.gets, err)
			}
			checkEarlier(t, got)
			if none, err := session.Earlier(t.Context(), types.UID("another")); err != nil || none != nil {
				t.Errorf("another object: %v, error %v", none, err)
			}
			session.Close()
			if left := s.held.bytes.Load(); left != 0 {
				t.Errorf("%d bytes are still counted", left)
			}
		})
	}
}

// checkEarlier holds what is known of saidBefore.
func checkEarlier(t *testing.T, got map[Question]Earlier) {
	t.Helper()
	follows := map[Question]bool{}
	for question, earlier := range got {
		follows[question] = earlier.FollowsFrom("request and revision")
	}
	want := map[Question]bool{
		{privileged().ID, matching.Create}: true, {privileged().ID, matching.Delete}: false,
		{labels().ID, matching.Create}: false, {unique().ID, matching.Create}: false,
	}
	if diff := cmp.Diff(want, follows); diff != "" {
		t.Errorf("follows from the basis (-want +got):\n%s", diff)
	}
	deny := got[Question{labels().ID, matching.Create}]
	if deny.Outcome != OutcomeFail || deny.Message != "label owner is missing" || deny.Time.Unix() != asked.Unix() || deny.Sealed() {
		t.Errorf("got %+v", deny)
	}
}

// TestEarlierSaysThatAReportCannotBeRead is about one for which there was no room.
func TestEarlierSaysThatAReportCannotBeRead(t *testing.T) {
	s := failingStore(t, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return errors.New("out of order")
	}}, saidBefore(t))
	s.held.limit = 0
	want := "get report " + string(pod().UID) + " of namespace team-a: out of order"
	if _, err := open(t, s).Earlier(t.Context(), pod().UID); err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestAMessageIsSealedAsItIsWritten(t *testing.T) {
	for name, message := range map[string]string{
		"long": strings.Repeat("x", 2*maxMessage), "far too long": strings.Repeat("\x1b[1mé", 8*maxMessage), "in lines": "first\n\tsecond\n",
		"coloured": "\x1b[31mred\x1b[0m", "no characters": "bad \xff\xfe byte", "turned around": "\u202egnp.exe",
	} {
		written := Result{Policy: labels(), Outcome: OutcomeFail, Message: message, Basis: "b"}.entry()
		if written.Message == message {
			t.Errorf("%s: nothing about the message is changed", name)
		}
		earlier := remember(&written).earlier
		if !earlier.FollowsFrom("b") {
			t.Errorf("%s: it is not known again", name)
		}
		again := Result{Policy: labels(), Outcome: earlier.Outcome, Message: earlier.Message, Basis: "b", Time: earlier.Time}.entry()
		if diff := cmp.Diff(written.Properties, again.Properties); diff != "" || again.Message != written.Message {
			t.Errorf("%s: written again the message is %q, the properties (-before +after):\n%s", name, again.Message, diff)
		}
	}
}

// TestWhatWasCutToMakeAReportFitIsAskedForAgain has next scans keep what they can of a
// report that is too large: it must neither lose what it says about that nor be written.
func TestWhatWasCutToMakeAReportFitIsAskedForAgain(t *testing.T) {
	wide := many(pod(), 300, strings.Repeat("<", maxMessage))
	for i := range wide.Results {
		wide.Results[i].Basis = "b"
		if i%2 == 0 {
			wide.Results[i].Message = "short"
		}
	}
	for _, results := range []int{200, 300} {
		r := Report{Scope: wide.Scope, Results: slices.Clone(wide.Results[:results])}
		fits := r.content().LeftOut == ""
		if fits != (results == 200) {
			t.Fatalf("%d results: left out: %q", results, r.content().LeftOut)
		}
		session := open(t, failingStore(t, interceptor.Funcs{}))
		for _, want := range []Written{Created, Unchanged, Unchanged} {
			session = open(t, session.store)
			if got, err := session.Write(t.Context(), r); got != want || err != nil {
				t.Errorf("%d results: written = %q, %v, want %q", results, got, err, want)
			}
			r = keep(t, open(t, session.store), r, fits)
		}
	}
}

// keep takes over from the report what still follows, as a scan does: all, or what is short.
func keep(t *testing.T, session *Session, r Report, all bool) Report {
	t.Helper()
	earlier, err := session.Earlier(t.Context(), r.Scope.UID)
	if err != nil {
		t.Fatal(err)
	}
	kept := Report{Scope: r.Scope}
	for i, result := range r.Results {
		before := earlier[Question{result.Policy.ID, matching.Create}]
		want := all || i%2 == 0
		if before.FollowsFrom(result.Basis) != want || before.Sealed() != want {
			t.Errorf("result %d is kept: %t, is sealed: %t; want %t", i, before.FollowsFrom(result.Basis), before.Sealed(), want)
		}
		if want {
			result.Message = before.Message
		}
		kept.Results = append(kept.Results, result)
	}
	return kept
}
