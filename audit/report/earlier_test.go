package report

import (
	"context"
	"errors"
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

func TestALongMessageIsSealedAsItIsWritten(t *testing.T) {
	long := Result{Policy: labels(), Outcome: OutcomeFail, Message: string(make([]byte, 2*maxMessage)), Basis: "b"}.entry()
	if remembered := remember(&long); !remembered.earlier.FollowsFrom("b") {
		t.Error("it is not known again")
	}
}
