package admission

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// TestAPIGroupsAreCheckedAsAPIGroups looks at groups, where upstream looks at versions: rules
// that upstream takes by mistake are refused, and those it refuses by mistake are taken.
func TestAPIGroupsAreCheckedAsAPIGroups(t *testing.T) {
	const (
		groups      = "spec.rules[0].apiGroups[0]: Forbidden: apiGroups cannot use wildcards when using AdmissionPolicy or AdmissionPolicyGroup"
		resources   = "spec.rules[0].resources[0]: Forbidden: resources cannot use wildcards when using AdmissionPolicy or AdmissionPolicyGroup"
		reports     = "spec.rules[0]: Forbidden: {APIGroup: wgpolicyk8s.io, Resource: policyreports} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup"
		openReports = "spec.rules[0]: Forbidden: {APIGroup: openreports.io, Resource: reports} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup"
	)
	type words = []string
	tests := map[string]struct {
		groups, versions, resources words
		want                        words
	}{
		"every version of every resource of a group": {words{"apps"}, words{"*"}, words{"*"}, nil},
		"every group":                      {words{"*"}, words{"v1"}, words{"pods"}, words{groups}},
		"every group, every resource":      {words{"*"}, words{"v1"}, words{"*/*"}, words{groups, resources}},
		"reports":                          {words{"wgpolicyk8s.io"}, words{"v1alpha2"}, words{"policyreports"}, words{reports}},
		"status of reports":                {words{"wgpolicyk8s.io"}, words{"v1alpha2"}, words{"policyreports/status"}, words{reports}},
		"reports by a wildcard":            {words{"wgpolicyk8s.io"}, words{"*"}, words{"*"}, words{reports}},
		"status of reports by a wildcard":  {words{"wgpolicyk8s.io"}, words{"*"}, words{"*/status"}, words{reports}},
		"open reports":                     {words{"openreports.io"}, words{"*"}, words{"reports"}, words{openReports}},
		"both":                             {words{"openreports.io", "wgpolicyk8s.io"}, words{"*"}, words{"*/*"}, words{reports, openReports}},
		"a group that is a version's name": {words{"apps"}, words{"wgpolicyk8s.io"}, words{"policyreports"}, nil},
		"reports of another group":         {words{"example.com"}, words{"v1"}, words{"policyreports", "reports"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rules := []policiesv1.Rule{rule([]admissionregistrationv1.OperationType{admissionregistrationv1.Create}, tc.groups, tc.versions, tc.resources)}
			checkErrors(t, Policy(namespacedPolicy(func(p *policiesv1.AdmissionPolicy) { p.Spec.Rules = rules })), tc.want...)

			group := namespacedGroup()
			group.Spec.Rules = rules
			checkErrors(t, Policy(group), tc.want...)

			checkErrors(t, Policy(clusterPolicy(func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Rules = rules })))
		})
	}
}
