package render

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// ContextWatcherInput is what the rights of policies to read the cluster are rendered from.
// All of it is read only.
type ContextWatcherInput struct {
	Config       Config
	Installation Installation
	// Servers and Policies are all that there are, in any order.
	Servers  []policiesv1.PolicyServer
	Policies []policiesv1.Policy
	// Accounts are the ServiceAccounts in the operator's namespace; those that the operator
	// did not make are passed over.
	Accounts []corev1.ServiceAccount
}

// ContextWatcher binds the ClusterRole of the context watcher to the accounts of those
// servers of which a policy reads the cluster; nil when there is none. An account that the
// spec of a server names is never bound: it is the user's to bind.
func ContextWatcher(in ContextWatcherInput) *rbacv1.ClusterRoleBinding {
	var subjects []rbacv1.Subject
	for i := range in.Servers {
		if server := &in.Servers[i]; in.hasReader(server) && in.hasAccount(server) {
			subjects = append(subjects, rbacv1.Subject{
				Kind: rbacv1.ServiceAccountKind, Name: childName(server.Name), Namespace: in.Config.Namespace,
			})
		}
	}
	if len(subjects) == 0 {
		return nil
	}
	slices.SortFunc(subjects, func(a, b rbacv1.Subject) int { return cmp.Compare(a.Name, b.Name) })
	binding := NoContextWatcher()
	binding.Labels = merge(in.Installation.labels(), map[string]string{
		labelComponent: componentContextWatcher,
		labelPartOf:    partOfKubewarden,
		labelManagedBy: managedByController,
	})
	binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ClusterRoleContextWatcher}
	binding.Subjects = subjects
	return binding
}

// NoContextWatcher is the name of the binding that ContextWatcher makes, in an object
// without content: what is to be deleted when nobody needs it.
func NoContextWatcher() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   typeMeta(rbacv1.SchemeGroupVersion, "ClusterRoleBinding"),
		ObjectMeta: metav1.ObjectMeta{Name: contextWatcherBinding},
	}
}

func (in ContextWatcherInput) hasReader(server *policiesv1.PolicyServer) bool {
	return slices.ContainsFunc(in.Policies, func(policy policiesv1.Policy) bool {
		return policy.GetPolicyServer() == server.Name && readsCluster(policy, server)
	})
}

// hasAccount says whether the server runs as an account that the operator made for it. One
// of the same name that somebody else made gets nothing.
func (in ContextWatcherInput) hasAccount(server *policiesv1.PolicyServer) bool {
	if server.Spec.ServiceAccountName != "" {
		return false
	}
	return slices.ContainsFunc(in.Accounts, func(account corev1.ServiceAccount) bool {
		return account.Name == childName(server.Name) && account.Namespace == in.Config.Namespace &&
			IsOurs(account.Labels) && metav1.IsControlledBy(&account, server)
	})
}

// readsCluster says whether a policy declares that it reads the cluster: by
// contextAwareResources, or, a namespaced one, by a grant of can_i that its server makes. A
// cluster-wide policy may call anything and so declares nothing by that; one that asks
// can_i alone names the kind SubjectAccessReview.
func readsCluster(policy policiesv1.Policy, server *policiesv1.PolicyServer) bool {
	if len(ContextAwareResources(policy)) > 0 {
		return true
	}
	return isNamespaced(policy) && slices.ContainsFunc(server.Spec.NamespacedPoliciesCapabilities, grantsCanI)
}

func grantsCanI(capability policiesv1.HostCapability) bool {
	return capability == "*" || capability == "kubernetes/*" || capability == "kubernetes/can_i"
}

// ContextAwareResources are the kinds that a policy declares to read, of a group those of
// all members, sorted, each once.
func ContextAwareResources(policy policiesv1.Policy) []policiesv1.ContextAwareResource {
	var resources []policiesv1.ContextAwareResource
	switch policy := policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		resources = slices.Clone(policy.Spec.ContextAwareResources)
	case policiesv1.PolicyGroup:
		for _, member := range policy.GetMembers() {
			resources = append(resources, member.ContextAwareResources...)
		}
	}
	slices.SortFunc(resources, func(a, b policiesv1.ContextAwareResource) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Compact(resources)
}
