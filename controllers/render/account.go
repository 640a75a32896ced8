package render

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// ServiceAccountName is the account that the replicas of a PolicyServer run as: the one
// that the spec names, or one of the PolicyServer's own, so that no server has the rights
// of another.
func ServiceAccountName(server *policiesv1.PolicyServer) string {
	return cmp.Or(server.Spec.ServiceAccountName, childName(server.Name))
}

// ServiceAccount is the PolicyServer's own account; nil when the spec names another.
func ServiceAccount(in PolicyServerInput) *corev1.ServiceAccount {
	if in.Server.Spec.ServiceAccountName != "" {
		return nil
	}
	return &corev1.ServiceAccount{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ServiceAccount"),
		ObjectMeta: in.childMeta(childName(in.Server.Name)),
	}
}

// Role lets replicas watch their configuration and write their report, and nothing else:
// each rule names the one ConfigMap that it is about.
func Role(in PolicyServerInput) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   typeMeta(rbacv1.SchemeGroupVersion, "Role"),
		ObjectMeta: in.childMeta(childName(in.Server.Name)),
		Rules: []rbacv1.PolicyRule{
			{
				APIGroups:     []string{corev1.GroupName},
				Resources:     []string{"configmaps"},
				ResourceNames: []string{contract.ConfigMapName(in.Server.Name)},
				Verbs:         []string{"get", "list", "watch"},
			},
			{
				APIGroups:     []string{corev1.GroupName},
				Resources:     []string{"configmaps"},
				ResourceNames: []string{contract.ReportConfigMapName(in.Server.Name)},
				Verbs:         []string{"get", "patch"},
			},
		},
	}
}

// RoleBinding gives the Role to the account of the replicas. An account that the spec
// names is bound as well: without these rights a server can serve nothing.
func RoleBinding(in PolicyServerInput) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   typeMeta(rbacv1.SchemeGroupVersion, "RoleBinding"),
		ObjectMeta: in.childMeta(childName(in.Server.Name)),
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName,
			Kind:     "Role",
			Name:     childName(in.Server.Name),
		},
		Subjects: []rbacv1.Subject{{
			Kind:      rbacv1.ServiceAccountKind,
			Name:      ServiceAccountName(in.Server),
			Namespace: in.Config.Namespace,
		}},
	}
}
