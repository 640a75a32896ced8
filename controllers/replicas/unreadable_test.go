package replicas_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// What replicas that are asked cannot read is told of the policies that declare it.
func TestPolicyTellsWhatCannotBeRead(t *testing.T) {
	noRoom := contract.NewUnreadable(contract.UnreadableNoRoom, "too many")
	lacks := contract.NewUnreadable(contract.UnreadableForbidden, "no right")
	replica := func(name string, unreadable map[string]contract.Unreadable) replicas.Replica {
		return replicas.Replica{Name: name, Ready: true, Report: &contract.Report{Unreadable: unreadable}}
	}
	gone := replica("a", map[string]contract.Unreadable{"v1/Node": lacks})
	gone.Terminating = true
	fresh := replica("b", map[string]contract.Unreadable{"v1/Node": lacks})
	fresh.Ready = false
	set := replicas.Set{
		gone,
		fresh,
		{Name: "c", Ready: true},
		replica("e", map[string]contract.Unreadable{"v1/Pod": noRoom, "apps/v1/Deployment": noRoom}),
		replica("d", map[string]contract.Unreadable{"v1/Pod": lacks}),
	}
	deployments := []contract.ContextAwareResource{{APIVersion: "apps/v1", Kind: "Deployment"}}
	pods := []contract.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"}, {APIVersion: "v1", Kind: "Node"}}
	for name, tc := range map[string]struct {
		entry contract.Entry
		want  []replicas.Unreadable
	}{
		"a policy":                  {contract.Entry{Module: "m", ContextAwareResources: pods}, []replicas.Unreadable{{Unreadable: lacks, Kind: "v1/Pod", Replica: "d"}}},
		"a policy that reads other": {contract.Entry{Module: "m", ContextAwareResources: []contract.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}}}, nil},
		"a group": {
			contract.Entry{Expression: "x()", Message: "no", Policies: map[string]contract.Member{
				"x": {Module: "m", ContextAwareResources: pods}, "y": {Module: "m", ContextAwareResources: deployments},
			}},
			[]replicas.Unreadable{{Unreadable: noRoom, Kind: "apps/v1/Deployment", Replica: "e"}, {Unreadable: lacks, Kind: "v1/Pod", Replica: "d"}},
		},
	} {
		got, err := set.Policy("p", tc.entry)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Unreadable) != len(tc.want) || len(tc.want) > 0 && !cmp.Equal(tc.want, got.Unreadable) {
			t.Errorf("%s: got %+v, want %+v", name, got.Unreadable, tc.want)
		}
	}
}
