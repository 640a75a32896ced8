package contract

import "testing"

func TestNamespaceOf(t *testing.T) {
	for id, want := range map[string]string{
		AdmissionPolicyID("team", "labels"):                "team",
		AdmissionPolicyID("team", "labels.example"):        "team",
		AdmissionPolicyGroupID("team-2", "labels"):         "team-2",
		MemberID(AdmissionPolicyGroupID("team", "g"), "m"): "team",
		ClusterAdmissionPolicyID("team"):                   "",
		ClusterAdmissionPolicyGroupID("team.x"):            "",
		"written-by-hand":                                  "",
		"":                                                 "",
	} {
		if got := NamespaceOf(id); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}
