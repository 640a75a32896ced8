package render_test

func fieldTables() map[string]aFieldTable {
	return map[string]aFieldTable{
		"PolicyServer":                policyServerFields(),
		"ClusterAdmissionPolicy":      clusterAdmissionPolicyFields(),
		"AdmissionPolicy":             admissionPolicyFields(),
		"ClusterAdmissionPolicyGroup": clusterAdmissionPolicyGroupFields(),
		"AdmissionPolicyGroup":        admissionPolicyGroupFields(),
	}
}
