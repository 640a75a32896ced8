package assemble

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// takeRights moves the rules of the ClusterRoles that are bound to the operator's account
// into the ClusterServiceVersion. ClusterRoles that are bound to no one stay manifests.
func (p *parts) takeRights() error {
	account := p.deployment.Spec.Template.Spec.ServiceAccountName
	bound := map[string]bool{}
	for _, object := range p.clusterBindings {
		binding := &rbacv1.ClusterRoleBinding{}
		if err := convert(object, binding); err != nil {
			return err
		}
		if err := onlyFor(account, p.namespace.Name, binding); err != nil {
			return err
		}
		bound[binding.RoleRef.Name] = true
	}
	for _, object := range p.clusterRoles {
		if !bound[object.GetName()] {
			p.addManifest(object)
			continue
		}
		delete(bound, object.GetName())
		if err := p.grant(object); err != nil {
			return err
		}
	}
	for missing := range bound {
		return fmt.Errorf("ClusterRole %s is bound to the operator and was not rendered", missing)
	}
	return nil
}

// onlyFor refuses a binding to anybody but the operator: an account in a ClusterRoleBinding
// needs a namespace, and a bundle does not know in which it will be installed.
func onlyFor(account, namespace string, binding *rbacv1.ClusterRoleBinding) error {
	for _, subject := range binding.Subjects {
		if subject.Kind != rbacv1.ServiceAccountKind || subject.Name != account || subject.Namespace != namespace {
			return fmt.Errorf("ClusterRoleBinding %s names %s %s; in a bundle only the operator's account %s can be bound everywhere",
				binding.Name, subject.Kind, subject.Name, account)
		}
	}
	return nil
}

func (p *parts) grant(object *unstructured.Unstructured) error {
	role := &rbacv1.ClusterRole{}
	if err := convert(object, role); err != nil {
		return err
	}
	if role.AggregationRule != nil {
		return fmt.Errorf("ClusterRole %s is aggregated; its rules are not known before it is installed", role.Name)
	}
	p.everywhere = append(p.everywhere, role.Rules...)
	return nil
}
