package contract

import "strings"

// Policy IDs name a policy in policies.yml, in the URL /validate/{id}, in its webhook
// configuration, in reports and in metrics. The scheme is upstream's since 1.37.2
// (constants.go, GHSA-m5vp-9g65-pv6v): a namespace cannot hold a dot, so two policies
// never share an ID.

// ClusterAdmissionPolicyID is the ID of a ClusterAdmissionPolicy.
func ClusterAdmissionPolicyID(name string) string { return "kw.cap." + name }

// ClusterAdmissionPolicyGroupID is the ID of a ClusterAdmissionPolicyGroup.
func ClusterAdmissionPolicyGroupID(name string) string { return "kw.capg." + name }

// AdmissionPolicyID is the ID of an AdmissionPolicy.
func AdmissionPolicyID(namespace, name string) string { return "kw.ap." + namespace + "." + name }

// AdmissionPolicyGroupID is the ID of an AdmissionPolicyGroup.
func AdmissionPolicyGroupID(namespace, name string) string {
	return "kw.apg." + namespace + "." + name
}

// IsNamespacedID says whether an ID is that of a policy which judges its own namespace only.
func IsNamespacedID(id string) bool {
	return strings.HasPrefix(id, "kw.ap.") || strings.HasPrefix(id, "kw.apg.")
}

// NamespaceOf is the namespace of the policy, or of the group of the member, with that ID;
// "" when it judges all of the cluster.
func NamespaceOf(id string) string {
	for _, prefix := range []string{"kw.ap.", "kw.apg."} {
		if rest, namespaced := strings.CutPrefix(id, prefix); namespaced {
			namespace, _, _ := strings.Cut(rest, ".")
			return namespace
		}
	}
	return ""
}

// MemberID names a member of a group in paths, in logs and in reports. Neither an ID nor the
// name of a member can hold a slash.
func MemberID(group, member string) string { return group + "/" + member }

// Paths of the API port, each followed by a policy ID; upstream's (policy-server: lib.rs).
const (
	PathValidate    = "/validate/"
	PathAudit       = "/audit/"
	PathValidateRaw = "/validate_raw/"
)

// ValidatePath is the URL path of a policy's admission decisions.
func ValidatePath(policyID string) string { return PathValidate + policyID }
