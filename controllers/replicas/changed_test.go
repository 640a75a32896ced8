package replicas_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestChanged(t *testing.T) {
	one := contract.Served{Revision: "one"}
	two := contract.Served{Revision: "two"}
	failure := contract.Failure{Wanted: "w", Reason: contract.ReasonInvalidSettings}
	report := func(policies map[string]contract.Served, failures map[string]contract.Failure) contract.Report {
		return contract.Report{StartTime: startTime, Policies: policies, Failures: failures}
	}
	type served = map[string]contract.Served
	type failures = map[string]contract.Failure
	type reports = map[string]contract.Report
	cut := report(served{"a": one}, nil)
	cut.Truncated = true
	restarted := report(served{"a": one}, nil)
	restarted.StartTime = "2026-11-23T11:00:00Z"
	pinned := report(served{"a": one}, nil)
	pinned.Digests, pinned.ConfigRevision = map[string]string{"a": "sha256:1"}, "r"
	blind := report(served{"a": one}, nil)
	blind.Unreadable = map[string]contract.Unreadable{"v1/Pod": contract.NewUnreadable(contract.UnreadableNoRoom, "")}
	for name, tc := range map[string]struct {
		before, after reports
		want          []string
		all           bool
	}{
		"nothing":                      {reports{"p": report(served{"a": one}, nil)}, reports{"p": report(served{"a": one}, nil)}, nil, false},
		"another revision":             {reports{"p": report(served{"a": one, "b": one}, nil)}, reports{"p": report(served{"a": two, "b": one}, nil)}, []string{"a"}, false},
		"a further policy":             {reports{"p": report(served{"a": one}, nil)}, reports{"p": report(served{"a": one, "b": one}, nil)}, []string{"b"}, false},
		"one less":                     {reports{"p": report(served{"a": one, "b": one}, nil)}, reports{"p": report(served{"a": one}, nil)}, []string{"b"}, false},
		"a refusal":                    {reports{"p": report(served{"a": one}, nil)}, reports{"p": report(served{"a": one}, failures{"a": failure})}, []string{"a"}, false},
		"a refusal that is over":       {reports{"p": report(nil, failures{"a": failure})}, reports{"p": report(served{"b": one}, nil)}, []string{"a", "b"}, false},
		"each replica something else":  {reports{"p": report(served{"a": one}, nil), "q": report(served{"b": one}, nil)}, reports{"p": report(served{"a": two}, nil), "q": report(served{"b": two}, nil)}, []string{"a", "b"}, false},
		"what no policy is judged by":  {reports{"p": report(served{"a": one}, nil)}, reports{"p": pinned}, nil, false},
		"a replica comes":              {nil, reports{"p": report(served{"a": one}, nil)}, nil, true},
		"a replica goes":               {reports{"p": report(served{"a": one}, nil)}, reports{}, nil, true},
		"a replica replaces another":   {reports{"p": report(served{"a": one}, nil)}, reports{"q": report(served{"a": one}, nil)}, nil, true},
		"a replica begins anew":        {reports{"p": report(served{"a": one}, nil)}, reports{"p": restarted}, nil, true},
		"a kind that is not read":      {reports{"p": report(served{"a": one}, nil)}, reports{"p": blind}, nil, true},
		"a report that is cut":         {reports{"p": report(served{"a": one}, nil)}, reports{"p": cut}, nil, true},
		"a report that is cut no more": {reports{"p": cut}, reports{"p": report(served{"a": one}, nil)}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, all := replicas.Changed(tc.before, tc.after)
			if !slices.Equal(got, tc.want) || all != tc.all {
				t.Errorf("got %v and %t, want %v and %t", got, all, tc.want, tc.all)
			}
		})
	}
}

// What is not among the changed policies is judged as before, whatever reports say.
func TestChangedMissesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	wanted := entry(t, `{}`)
	hash, err := contract.EntryHash(wanted)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := contract.Revision(wanted, "")
	if err != nil {
		t.Fatal(err)
	}
	ids, pods := []string{"a", "b", "c"}, []corev1.Pod{pod("p", ready), pod("q", ready), pod("r")}
	reports := randomReports(random, ids, hash, revision)
	judged := func(reports map[string]contract.Report, id string) replicas.Policy {
		policy, err := replicas.NewSet(pods, reports).Policy(id, wanted)
		if err != nil {
			t.Fatal(err)
		}
		return policy
	}
	noticed := 0
	for range 3000 {
		after := maps.Clone(reports)
		for name, report := range randomReports(random, ids, hash, revision) {
			if random.IntN(3) == 0 {
				after[name] = report
			}
		}
		changed, all := replicas.Changed(reports, after)
		for _, id := range ids {
			was, now := judged(reports, id), judged(after, id)
			if all || reflect.DeepEqual(was, now) {
				continue
			}
			noticed++
			if !slices.Contains(changed, id) {
				t.Fatalf("%s is not among %v:\n%s", id, changed, cmp.Diff(was, now))
			}
		}
		reports = after
	}
	if noticed < 100 {
		t.Errorf("only %d single policies changed: the reports are not what this test needs", noticed)
	}
}

func randomReports(random *rand.Rand, ids []string, hash, revision string) map[string]contract.Report {
	reports := map[string]contract.Report{}
	for _, name := range []string{"p", "q", "r"} {
		if random.IntN(20) == 0 {
			continue
		}
		report := contract.Report{
			StartTime: fmt.Sprintf("2026-11-23T1%d:00:00Z", random.IntN(20)/19), Truncated: random.IntN(20) == 0,
			Policies: map[string]contract.Served{}, Failures: map[string]contract.Failure{},
		}
		for _, id := range ids {
			switch random.IntN(4) {
			case 0:
				report.Policies[id] = contract.Served{Revision: revision}
			case 1:
				report.Policies[id] = contract.Served{Revision: "another"}
			case 2:
				report.Failures[id] = contract.NewFailure(hash, contract.ReasonInvalidSettings, "m")
			}
		}
		reports[name] = report
	}
	return reports
}
