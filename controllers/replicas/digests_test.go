package replicas_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

var digestA, digestB = "sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("b", 64)

func bornAt(after time.Duration) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.CreationTimestamp = metav1.Time{Time: containerStart.Add(after)} }
}

// servingDigests is the report of a replica that serves an entry, of whose modules it tells
// the digests; whole is what the revision is made with.
func servingDigests(t *testing.T, served contract.Entry, whole string, digests map[string]string) contract.Report {
	t.Helper()
	revision, err := contract.Revision(served, whole)
	if err != nil {
		t.Fatal(err)
	}
	return contract.Report{
		StartTime: startTime, Digests: digests,
		Policies: map[string]contract.Served{policyID: {Revision: revision, ModuleDigest: contract.ShortDigest(whole)}},
	}
}

func TestDigests(t *testing.T) {
	wanted, old := entry(t, `{"labels":["b"]}`), entry(t, `{"labels":["a"]}`)
	group := contract.Entry{Expression: "a() && b()", Policies: map[string]contract.Member{
		"a": {Module: "m:v1"}, "b": {Module: "m:v2", ModuleDigest: digestB},
	}}
	members := map[string]string{"a": digestA, "b": digestB}
	both := contract.GroupDigest(members)
	tells := func(digest string) map[string]string { return map[string]string{policyID: digest} }
	tests := map[string]struct {
		pods    []corev1.Pod
		reports map[string]contract.Report
		wanted  contract.Entry
		want    map[string]string
	}{
		"told": {
			[]corev1.Pod{pod("a", ready)},
			map[string]contract.Report{"a": servingDigests(t, wanted, digestA, tells(digestA))},
			wanted,
			map[string]string{"": digestA},
		},
		"the oldest counts": {
			[]corev1.Pod{pod("a", ready, bornAt(time.Minute)), pod("b", ready, bornAt(0))},
			map[string]contract.Report{
				"a": servingDigests(t, wanted, digestA, tells(digestA)), "b": servingDigests(t, wanted, digestB, tells(digestB)),
			},
			wanted,
			map[string]string{"": digestB},
		},
		"of equal age the first by name": {
			[]corev1.Pod{pod("b", ready), pod("a", ready)},
			map[string]contract.Report{
				"a": servingDigests(t, wanted, digestA, tells(digestA)), "b": servingDigests(t, wanted, digestB, tells(digestB)),
			},
			wanted,
			map[string]string{"": digestA},
		},
		"one that is not ready does not count": {
			[]corev1.Pod{pod("a", bornAt(0)), pod("b", ready, bornAt(time.Minute))},
			map[string]contract.Report{
				"a": servingDigests(t, wanted, digestA, tells(digestA)), "b": servingDigests(t, wanted, digestB, tells(digestB)),
			},
			wanted,
			map[string]string{"": digestB},
		},
		"an older revision is no answer": {
			[]corev1.Pod{pod("a", ready)},
			map[string]contract.Report{"a": servingDigests(t, old, digestA, tells(digestA))},
			wanted, nil,
		},
		"a digest that is not what is served is no answer": {
			[]corev1.Pod{pod("a", ready)},
			map[string]contract.Report{"a": servingDigests(t, wanted, digestA, tells(digestB))},
			wanted, nil,
		},
		"not told": {
			[]corev1.Pod{pod("a", ready)},
			map[string]contract.Report{"a": servingDigests(t, wanted, digestA, nil)},
			wanted, nil,
		},
		"not served": {
			[]corev1.Pod{pod("a", ready), pod("b", ready)},
			map[string]contract.Report{"a": {StartTime: startTime}},
			wanted, nil,
		},
		"a group of which one member is pinned": {
			[]corev1.Pod{pod("a", ready)},
			map[string]contract.Report{"a": servingDigests(t, group, both, map[string]string{policyID + "/a": digestA})},
			group, members,
		},
		"a group of which one member is not told": {
			[]corev1.Pod{pod("a", ready)},
			map[string]contract.Report{"a": servingDigests(t, group, both, nil)},
			group, nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := replicas.NewSet(tc.pods, tc.reports).Digests(policyID, tc.wanted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unexpected digests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyCountsNoOtherModuleThanThePinned(t *testing.T) {
	pods := []corev1.Pod{pod("a", ready), pod("b", ready)}
	free := entry(t, `{}`)
	reports := map[string]contract.Report{
		"a": servingDigests(t, free, digestA, nil), "b": servingDigests(t, free, digestB, nil),
	}
	enforcing := func(wanted contract.Entry) int32 {
		t.Helper()
		policy, err := replicas.NewSet(pods, reports).Policy(policyID, wanted)
		if err != nil {
			t.Fatal(err)
		}
		return policy.Enforcing
	}
	if got := enforcing(free); got != 2 {
		t.Errorf("got %d enforcing replicas, want 2 as long as nothing is pinned", got)
	}
	pinned := free
	pinned.ModuleDigest = digestA
	if got := enforcing(pinned); got != 1 {
		t.Errorf("got %d enforcing replicas, want only the one with the pinned module", got)
	}
}
