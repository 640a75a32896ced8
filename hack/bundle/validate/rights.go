package validate

import (
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// everything is RBAC's word for all groups, resources or verbs.
const everything = "*"

// guarded are the resources that nobody needs in all namespaces.
var guarded = []string{"secrets", "configmaps"}

// checkRights holds that the operator may do everywhere only what it must. Its rights in
// its own namespace are a Role beside the ClusterServiceVersion, since OLM turns
// permissions into ClusterRoles for an operator that watches all namespaces.
func checkRights(in *input) (messages []string) {
	strategy := in.CSV.Spec.InstallStrategy.StrategySpec
	if len(strategy.Permissions) > 0 {
		messages = append(messages, "spec.install.spec.permissions: OLM would grant them in all namespaces; make them a Role and a RoleBinding")
	}
	for _, permission := range strategy.ClusterPermissions {
		for _, rule := range permission.Rules {
			messages = append(messages, checkRule(permission.ServiceAccountName, rule)...)
		}
	}
	return messages
}

func checkRule(account string, rule rbacv1.PolicyRule) (messages []string) {
	where := fmt.Sprintf("spec.install.spec.clusterPermissions of %s: ", account)
	for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
		if slices.Contains(list, everything) {
			messages = append(messages, fmt.Sprintf("%s%v on %v of %v holds a *; name what is needed", where, rule.Verbs, rule.Resources, rule.APIGroups))
			break
		}
	}
	if slices.Contains(rule.Verbs, "escalate") {
		messages = append(messages, where+"escalate lets the operator grant what it does not have; use bind on named roles")
	}
	for _, resource := range guarded {
		if slices.Contains(rule.APIGroups, "") && slices.Contains(rule.Resources, resource) {
			messages = append(messages, fmt.Sprintf("%s%s may be touched in the operator's own namespace only", where, resource))
		}
	}
	return messages
}
