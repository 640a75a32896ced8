package assemble

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// parts are the rendered objects, sorted by what becomes of them.
type parts struct {
	namespace   *corev1.Namespace
	deployment  *appsv1.Deployment
	definitions []definition
	webhooks    []*unstructured.Unstructured
	// everywhere is what the operator's account may do in all namespaces.
	everywhere []rbacv1.PolicyRule
	// manifests are in the bundle as they are.
	manifests []*unstructured.Unstructured
	// clusterRoles and clusterBindings wait until the account is known.
	clusterRoles    []*unstructured.Unstructured
	clusterBindings []*unstructured.Unstructured
	services        []*unstructured.Unstructured
	accounts        []*unstructured.Unstructured
	certificates    []*unstructured.Unstructured
	// scorecard says which tests the scorecard runs on the bundle; it may be nil.
	scorecard *unstructured.Unstructured
}

// definition is a CustomResourceDefinition, read, and as it is in the bundle.
type definition struct {
	*apiextensionsv1.CustomResourceDefinition
	manifest map[string]any
}

// sortOut decides for each object what it becomes in the bundle.
func sortOut(objects []*unstructured.Unstructured) (*parts, error) {
	p := &parts{}
	for _, object := range objects {
		if err := p.take(object.DeepCopy()); err != nil {
			return nil, err
		}
	}
	if p.namespace == nil || p.deployment == nil {
		return nil, errors.New("what was rendered has no Namespace or no Deployment; config/manifests has one of each")
	}
	if err := p.takeRights(); err != nil {
		return nil, err
	}
	p.takeAccounts()
	if err := p.takeServices(); err != nil {
		return nil, err
	}
	return p, p.dropCertificates()
}

// take sorts by group and kind. A kind that is not known here would be refused by OLM, or
// lost.
func (p *parts) take(object *unstructured.Unstructured) error {
	switch groupKind := object.GroupVersionKind().GroupKind().String(); groupKind {
	case "Namespace":
		p.namespace = &corev1.Namespace{}
		return convert(object, p.namespace)
	case "Deployment.apps":
		if p.deployment != nil {
			return fmt.Errorf("what was rendered has the Deployments %s and %s; the bundle is made for one", p.deployment.Name, object.GetName())
		}
		p.deployment = &appsv1.Deployment{}
		return convert(object, p.deployment)
	case "CustomResourceDefinition.apiextensions.k8s.io":
		return p.takeDefinition(object)
	case "ClusterRole.rbac.authorization.k8s.io":
		p.clusterRoles = append(p.clusterRoles, object)
	case "ClusterRoleBinding.rbac.authorization.k8s.io":
		p.clusterBindings = append(p.clusterBindings, object)
	case "ServiceAccount":
		p.accounts = append(p.accounts, object)
	case "Service":
		p.services = append(p.services, object)
	case "ValidatingWebhookConfiguration.admissionregistration.k8s.io", "MutatingWebhookConfiguration.admissionregistration.k8s.io":
		p.webhooks = append(p.webhooks, object)
	case "Configuration.scorecard.operatorframework.io":
		p.scorecard = object
	case "Certificate.cert-manager.io":
		p.certificates = append(p.certificates, object)
	case "Issuer.cert-manager.io":
		// OLM issues the certificates of the webhooks that it installs.
	case "Role.rbac.authorization.k8s.io", "ConfigMap", "Secret", "PodDisruptionBudget.policy", "PriorityClass.scheduling.k8s.io",
		"NetworkPolicy.networking.k8s.io", "ServiceMonitor.monitoring.coreos.com", "PodMonitor.monitoring.coreos.com", "PrometheusRule.monitoring.coreos.com":
		p.addManifest(object)
	case "RoleBinding.rbac.authorization.k8s.io":
		return p.takeBinding(object)
	default:
		return fmt.Errorf("%s %s has no place in a bundle: OLM does not install kind %s", object.GetKind(), object.GetName(), groupKind)
	}
	return nil
}

// addManifest keeps an object as it is, but for its namespace: OLM names the one that the
// operator is installed into.
func (p *parts) addManifest(object *unstructured.Unstructured) {
	object.SetNamespace("")
	p.manifests = append(p.manifests, object)
}

// takeBinding takes the namespace off the accounts too: RBAC reads an account without one
// as an account of the binding's namespace.
func (p *parts) takeBinding(object *unstructured.Unstructured) error {
	binding := &rbacv1.RoleBinding{}
	if err := convert(object, binding); err != nil {
		return err
	}
	subjects, _, err := unstructured.NestedSlice(object.Object, "subjects")
	if err != nil {
		return err
	}
	for i := range subjects {
		subject, isMap := subjects[i].(map[string]any)
		if isMap && subject["namespace"] == binding.Namespace {
			delete(subject, "namespace")
		}
	}
	if err := unstructured.SetNestedSlice(object.Object, subjects, "subjects"); err != nil {
		return err
	}
	p.addManifest(object)
	return nil
}

// takeDefinition keeps a CustomResourceDefinition without what cert-manager would do to it.
func (p *parts) takeDefinition(object *unstructured.Unstructured) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := convert(object, crd); err != nil {
		return err
	}
	if crd.Spec.Conversion != nil && crd.Spec.Conversion.Strategy == apiextensionsv1.WebhookConverter {
		return fmt.Errorf("CustomResourceDefinition %s converts by webhook; the bundle is made for definitions that do not", crd.Name)
	}
	dropInjection(object)
	p.definitions = append(p.definitions, definition{CustomResourceDefinition: crd, manifest: object.Object})
	return nil
}

// dropInjection removes the annotations by which cert-manager finds what to inject into.
func dropInjection(object *unstructured.Unstructured) {
	annotations := object.GetAnnotations()
	for name := range annotations {
		if strings.HasPrefix(name, "cert-manager.io/") {
			delete(annotations, name)
		}
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	object.SetAnnotations(annotations)
}

// takeAccounts drops the Deployment's own account, which OLM makes, and keeps all others.
func (p *parts) takeAccounts() {
	for _, account := range p.accounts {
		if account.GetName() != p.deployment.Spec.Template.Spec.ServiceAccountName {
			p.addManifest(account)
		}
	}
}

// takeServices drops the Services that webhooks are called through, since OLM makes its
// own, and keeps all others.
func (p *parts) takeServices() error {
	var called []string
	for _, configuration := range p.webhooks {
		services, err := webhookServices(configuration)
		if err != nil {
			return err
		}
		called = append(called, services...)
	}
	for _, service := range p.services {
		if !slices.Contains(called, service.GetName()) {
			p.addManifest(service)
		}
	}
	return nil
}

// dropCertificates takes the Secrets that cert-manager would fill off the Deployment: OLM
// mounts its own.
func (p *parts) dropCertificates() error {
	var secrets []string
	for _, certificate := range p.certificates {
		secret, found, err := unstructured.NestedString(certificate.Object, "spec", "secretName")
		if err != nil || !found {
			return fmt.Errorf("certificate %s names no Secret: %w", certificate.GetName(), errors.Join(err))
		}
		secrets = append(secrets, secret)
	}
	pod := &p.deployment.Spec.Template.Spec
	var dropped []string
	pod.Volumes = slices.DeleteFunc(pod.Volumes, func(volume corev1.Volume) bool {
		issued := volume.Secret != nil && slices.Contains(secrets, volume.Secret.SecretName)
		if issued {
			dropped = append(dropped, volume.Name)
		}
		return issued
	})
	for i := range pod.Containers {
		container := &pod.Containers[i]
		container.VolumeMounts = slices.DeleteFunc(container.VolumeMounts, func(mount corev1.VolumeMount) bool {
			return slices.Contains(dropped, mount.Name)
		})
	}
	return nil
}
