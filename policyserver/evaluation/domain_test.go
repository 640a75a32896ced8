package evaluation

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Policies of a namespace, groups or not, are a trust domain of their own, also while they
// serve under an entry that is no good.
func TestTrustDomains(t *testing.T) {
	loader := newWorld(t).loader
	for id, want := range map[string]string{
		contract.ClusterAdmissionPolicyID("labels"):                        "",
		contract.AdmissionPolicyID("team", "labels"):                       "team",
		memberID(contract.AdmissionPolicyGroupID("team", "all"), "labels"): "team",
	} {
		asked, err := loader.newGuest(id, contract.Member{})
		if err != nil {
			t.Fatal(err)
		}
		if asked.call.Domain != want {
			t.Errorf("%s: got domain %q, want %q", id, asked.call.Domain, want)
		}
		under := loader.underMember(asked, contract.Member{HostCapabilities: []string{"a*b*"}})
		if under.call.Domain != want || len(under.call.Capabilities.String()) != len(asked.call.Capabilities.String()) {
			t.Errorf("%s under an entry with bad grants: got %+v, want domain %q and no grants", id, under.call, want)
		}
	}
}
