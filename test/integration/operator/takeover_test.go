//go:build integration

package operator

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// upstreamDefaults is the field manager of the custom resources that upstream makes.
const upstreamDefaults = "kubewarden-controller-defaults"

// installation is what upstream left behind.
type installation struct {
	// authority signs, and former did before: upstream keeps it as old-ca.crt.
	authority, former certs.Pair
	server            *policiesv1.PolicyServer
	policy            *policiesv1.ClusterAdmissionPolicy
	webhook           *admissionregistrationv1.ValidatingWebhookConfiguration
}

// leaveUpstream makes what an installation of upstream's leaves when its controller is gone:
// each object as its maker made it.
func (c *cluster) leaveUpstream(t *testing.T) *installation {
	t.Helper()
	var left installation
	var err error
	if left.authority, err = certs.NewAuthority("kubewarden-controller-ca", time.Now()); err != nil {
		t.Fatal(err)
	}
	serving, err := certs.Issue(left.authority, certs.Claim{DNSName: "policy-server-default.kubewarden.svc"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if left.former, err = certs.NewAuthority("kubewarden-controller-ca", time.Now()); err != nil {
		t.Fatal(err)
	}
	client, err := certs.Issue(left.authority, certs.Claim{DNSName: "audit-scanner-client"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]map[string][]byte{
		"kubewarden-ca":                        {"ca.crt": left.authority.Certificate, "ca.key": left.authority.Key, "old-ca.crt": left.former.Certificate},
		"kubewarden-audit-scanner-client-cert": {"tls.crt": client.Certificate, "tls.key": client.Key},
	} {
		c.createAs(t, helm, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: chartLabels("controller"), Annotations: releaseAnnotations()},
			Data:       data,
		})
	}
	c.leaveCustomResources(t, &left)
	c.leaveChildren(t, left.server, serving)
	left.webhook = upstreamWebhook("kw.cap.privileged", "privileged", left.authority)
	c.createAs(t, upstreamManager, left.webhook)
	// What a flip of spec.mutating leaves behind, and what versions before 1.37.2 made.
	leaked := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: *left.webhook.ObjectMeta.DeepCopy()}
	leaked.ResourceVersion, leaked.UID, leaked.ManagedFields = "", "", nil
	c.createAs(t, upstreamManager, leaked)
	c.createAs(t, upstreamManager, upstreamWebhook("clusterwide-privileged", "privileged", left.authority))
	return &left
}

func (c *cluster) leaveCustomResources(t *testing.T, left *installation) {
	t.Helper()
	labels := chartLabels("policy-server")
	labels["app.kubernetes.io/managed-by"], labels["kubewarden.io/managed-by"] = "kubewarden-controller", upstreamDefaults
	applied := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "policies.kubewarden.io/v1", "kind": "PolicyServer",
		"metadata": map[string]any{"name": "default", "finalizers": []any{"kubewarden.io/finalizer"}, "labels": anyMap(labels)},
		"spec": map[string]any{
			"image": "ghcr.io/kubewarden/adm-controller/policy-server:v1.37.2", "replicas": int64(1),
			"serviceAccountName": "policy-server",
			"env":                []any{map[string]any{"name": "KUBEWARDEN_LOG_LEVEL", "value": "debug"}},
		},
	}}
	if err := c.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner(upstreamDefaults)); err != nil {
		t.Fatal(err)
	}
	left.server = defaultServer()
	if err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(left.server), left.server); err != nil {
		t.Fatal(err)
	}
	left.policy = &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: "privileged", Finalizers: []string{"kubewarden.io/finalizer", "kubewarden"},
	}}
	left.policy.Spec.Module = "registry://example.test/labels:v1"
	left.policy.Spec.Settings = settings("a")
	left.policy.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Create, admissionregistrationv1.Update)}
	c.createAs(t, "kubectl-create", left.policy)
	// A recommended policy of upstream's, which a user has switched to protect.
	recommended := left.policy.DeepCopy()
	recommended.ObjectMeta = metav1.ObjectMeta{Name: "no-privileged-pod", Labels: chartLabels("policy"), Annotations: releaseAnnotations()}
	recommended.Spec.Mode = policiesv1.PolicyModeProtect
	recommended.Spec.Message = "upstream's message"
	c.createAs(t, helm, recommended)
}

// leaveChildren makes the children of a PolicyServer as upstream's controller makes them.
func (c *cluster) leaveChildren(t *testing.T, server *policiesv1.PolicyServer, serving certs.Pair) {
	t.Helper()
	meta := metav1.ObjectMeta{
		Namespace: namespace, Name: "policy-server-default",
		Labels: map[string]string{
			"kubewarden/policy-server": "default", "app.kubernetes.io/component": "policy-server",
			"app.kubernetes.io/instance": "policy-server-default", "app.kubernetes.io/part-of": "kubewarden",
			"app.kubernetes.io/managed-by": "kubewarden-controller",
		},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "policies.kubewarden.io/v1", Kind: "PolicyServer", Name: server.Name, UID: server.UID,
		}},
	}
	secret := &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"tls.crt": serving.Certificate, "tls.key": serving.Key}}
	secret.Labels = map[string]string{"app.kubernetes.io/component": "policy-server", "app.kubernetes.io/part-of": "kubewarden"}
	configMap := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"policies.yml": "{}", "sources.yml": "{}", "upstream.yml": "{}"}}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app.kubernetes.io/instance": "policy-server-default", "app.kubernetes.io/part-of": "kubewarden"},
		Ports:    []corev1.ServicePort{{Name: "policy-server", Port: 443, TargetPort: intstr.FromInt32(8443)}},
	}}
	app := map[string]string{"app": "kubewarden-policy-server-default"}
	deployment := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: app},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "policy-server-default", Image: "ghcr.io/kubewarden/adm-controller/policy-server:v1.37.2",
				Env:          []corev1.EnvVar{{Name: "KUBEWARDEN_POLICIES", Value: "/config/policies.yml"}, {Name: "UPSTREAMS_OWN", Value: "1"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "policies", MountPath: "/config"}},
			}},
			Volumes: []corev1.Volume{{Name: "policies", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "policy-server-default"},
			}}}},
		}},
	}}
	deployment.Annotations = map[string]string{"kubewarden/config-version": "1"}
	for _, child := range []client.Object{secret, configMap, service, deployment} {
		c.createAs(t, upstreamManager, child)
	}
}

func upstreamWebhook(name, policy string, authority certs.Pair) *admissionregistrationv1.ValidatingWebhookConfiguration {
	path := "/validate/" + name
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app.kubernetes.io/part-of": "kubewarden"},
			Annotations: map[string]string{"kubewardenPolicyName": policy, "kubewardenPolicyNamespace": ""},
		},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: name + ".kubewarden.admission",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				Service:  &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "policy-server-default", Path: &path},
				CABundle: authority.Certificate,
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Delete},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{"upstreams": "own"}},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

func anyMap(of map[string]string) map[string]any {
	converted := map[string]any{}
	for key, value := range of {
		converted[key] = value
	}
	return converted
}

// answered complains unless the webhook of the policy stands, the very one that upstream
// made, and trusts what the replicas present.
func (c *cluster) answered(ctx context.Context, left *installation) error {
	// The pair is read first: it never changes before the webhook.
	secret, webhook := named(&corev1.Secret{}, "policy-server-default"), validatingWebhook("privileged")
	if err := errors.Join(c.mustExist(ctx, secret), c.mustExist(ctx, webhook)); err != nil {
		return err
	}
	if webhook.UID != left.webhook.UID {
		return errors.New("the webhook was deleted and made anew")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(webhook.Webhooks[0].ClientConfig.CABundle)
	block, _ := pem.Decode(secret.Data["tls.crt"])
	if block == nil {
		return errors.New("no certificate is presented")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "policy-server-default.kubewarden.svc"})
	return err
}

// An installation of upstream's is taken over in place: nothing of it is left in what the
// operator renders, nothing is deleted first, and at no moment a webhook calls a server that
// it does not trust.
func TestUpstreamsInstallationIsTakenOver(t *testing.T) {
	c := ownCluster(t)
	left := c.leaveUpstream(t)
	if err := c.StartOperator(); err != nil {
		t.Fatal(err)
	}
	kubewarden := theKubewarden()
	kubewarden.Spec.RecommendedPolicies.Enabled = true
	c.createAs(t, "kubectl-create", kubewarden)
	ctx, stop := context.WithCancel(t.Context())
	gap := make(chan error, 1)
	go func() { gap <- c.untilUnanswered(ctx, left) }()

	t.Run("children keep nothing of upstream's", func(t *testing.T) { within(t, patience, c.childrenAreOurs) })
	t.Run("the PolicyServer is the Kubewarden's", func(t *testing.T) { within(t, patience, c.defaultIsOurs) })
	t.Run("what is issued waits until it is trusted", func(t *testing.T) {
		within(t, patience, func(ctx context.Context) error {
			return c.mustExist(ctx, named(&corev1.Secret{}, "policy-server-default-issued"))
		})
		throughout(t, time.Second, func(ctx context.Context) error { return c.answered(ctx, left) })
	})
	t.Run("the webhook is edited in place", func(t *testing.T) {
		within(t, patience, c.configures(left.policy))
		c.startReplicas(t, "default", 2)
		within(t, patience, c.policyIs(left.policy, policiesv1.PolicyStateActive, enforced...))
		webhook := validatingWebhook("privileged")
		if err := c.mustExist(t.Context(), webhook); err != nil {
			t.Fatal(err)
		}
		if len(webhook.Webhooks) != 1 || len(webhook.Webhooks[0].ObjectSelector.MatchLabels) > 0 ||
			webhook.Webhooks[0].Rules[0].Operations[0] != admissionregistrationv1.Create {
			t.Errorf("the webhook has more than is rendered: %+v", webhook.Webhooks)
		}
	})
	t.Run("what upstream left of former names and of the other kind is removed", func(t *testing.T) {
		within(t, patience, func(ctx context.Context) error {
			former := validatingWebhook("privileged")
			former.Name = "clusterwide-privileged"
			return errors.Join(c.mustNotExist(ctx, former), c.mustNotExist(ctx, mutatingWebhook("privileged")))
		})
	})
	t.Run("the authority changes without a gap", func(t *testing.T) {
		within(t, 2*patience, func(ctx context.Context) error { return c.authorityIsOurs(ctx, left) })
	})
	t.Run("the audit scanner's pair names it, and is renewed from now on", func(t *testing.T) {
		within(t, patience, c.scannerIsKnown)
	})
	t.Run("a recommended policy becomes what the Kubewarden wants", func(t *testing.T) {
		within(t, patience, c.recommendedIsOurs)
	})
	stop()
	if err := <-gap; err != nil {
		t.Error(err)
	}
	t.Run("a policy that is deleted leaves nothing", func(t *testing.T) {
		if err := c.admin.Delete(t.Context(), left.policy); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func(ctx context.Context) error {
			return errors.Join(c.mustNotExist(ctx, left.policy), c.mustNotExist(ctx, validatingWebhook("privileged")))
		})
	})
}

// untilUnanswered watches, until ctx ends, for a moment in which the policy is not asked.
func (c *cluster) untilUnanswered(ctx context.Context, left *installation) error {
	err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		return false, c.answered(ctx, left)
	})
	if ctx.Err() != nil {
		return nil // a call that was cut off by the end of the watch says nothing
	}
	return fmt.Errorf("admission stopped: %w", err)
}

// scannerIsKnown complains unless upstream's Secret of the audit scanner has become the operator's.
func (c *cluster) scannerIsKnown(ctx context.Context) error {
	secret := named(&corev1.Secret{}, "kubewarden-audit-scanner-client-cert")
	if err := c.mustExist(ctx, secret); err != nil {
		return err
	}
	block, _ := pem.Decode(secret.Data["tls.crt"])
	if block == nil {
		return errors.New("the audit scanner has no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return err
	case len(leaf.URIs) != 1 || leaf.URIs[0].String() != contract.AuditScannerIdentity:
		return fmt.Errorf("the certificate of the audit scanner is for %v", leaf.URIs)
	case !metav1.IsControlledBy(secret, mustGet(ctx, c, theKubewarden())):
		return errors.New("the Secret of the audit scanner is not controlled by the Kubewarden")
	}
	return nil
}

func (c *cluster) childrenAreOurs(ctx context.Context) error {
	deployment, configMap := named(&appsv1.Deployment{}, "policy-server-default"), named(&corev1.ConfigMap{}, "policy-server-default")
	service := named(&corev1.Service{}, "policy-server-default")
	if err := errors.Join(c.mustExist(ctx, deployment), c.mustExist(ctx, configMap), c.mustExist(ctx, service)); err != nil {
		return err
	}
	for _, child := range []client.Object{deployment, configMap, service} {
		if !metav1.IsControlledBy(child, mustGet(ctx, c, defaultServer())) {
			return fmt.Errorf("%T is not controlled by its PolicyServer", child)
		}
		if managers := managersOf(child); slices.Contains(managers, upstreamManager) {
			return fmt.Errorf("%T has fields of upstream's controller: %v", child, managers)
		}
	}
	pod := deployment.Spec.Template.Spec
	if len(pod.Containers) != 1 || slices.ContainsFunc(pod.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == "UPSTREAMS_OWN" }) ||
		slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "policies" }) {
		return fmt.Errorf("the Deployment has more than is rendered: %+v", pod)
	}
	if _, stale := deployment.Annotations["kubewarden/config-version"]; stale {
		return errors.New("the Deployment has an annotation of upstream's")
	}
	if _, stale := configMap.Data["upstream.yml"]; stale {
		return errors.New("the ConfigMap has a key of upstream's")
	}
	return nil
}

func (c *cluster) defaultIsOurs(ctx context.Context) error {
	server := mustGet(ctx, c, defaultServer())
	switch {
	case !metav1.IsControlledBy(server, mustGet(ctx, c, theKubewarden())):
		return errors.New("PolicyServer default is not the Kubewarden's")
	case server.Spec.Image != "" || len(server.Spec.Env) > 0 || server.Spec.ServiceAccountName != "":
		return fmt.Errorf("PolicyServer default has fields of upstream's: %+v", server.Spec)
	case server.Labels["helm.sh/chart"] != "" || server.Labels["kubewarden.io/managed-by"] != "":
		return fmt.Errorf("PolicyServer default has labels of upstream's: %v", server.Labels)
	case !slices.Equal(server.Finalizers, []string{policiesv1.Finalizer}):
		return fmt.Errorf("PolicyServer default has the finalizers %v", server.Finalizers)
	}
	return nil
}

func (c *cluster) authorityIsOurs(ctx context.Context, left *installation) error {
	authority, serving := named(&corev1.Secret{}, "kubewarden-ca"), named(&corev1.Secret{}, "policy-server-default")
	if err := errors.Join(c.mustExist(ctx, authority), c.mustExist(ctx, serving)); err != nil {
		return err
	}
	switch {
	case len(authority.Data["ca.key"]) > 0:
		return errors.New("the key of upstream's authority is still there")
	case bytes.Equal(authority.Data["ca.crt"], left.authority.Certificate):
		return errors.New("upstream's authority still signs")
	case !bytes.Equal(authority.Data["old-ca.crt"], slices.Concat(left.authority.Certificate, left.former.Certificate)):
		return errors.New("upstream's authority is not trusted any more")
	}
	issued := named(&corev1.Secret{}, "policy-server-default-issued")
	if err := c.mustExist(ctx, issued); err != nil {
		return err
	}
	if !bytes.Equal(issued.Data["tls.crt"], serving.Data["tls.crt"]) {
		return errors.New("the replicas still present what upstream issued")
	}
	return nil
}

func (c *cluster) recommendedIsOurs(ctx context.Context) error {
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "no-privileged-pod"}}
	if err := c.mustExist(ctx, policy); err != nil {
		return err
	}
	if policy.Spec.Mode != policiesv1.PolicyModeMonitor || policy.Spec.Message != "" ||
		!metav1.IsControlledBy(policy, mustGet(ctx, c, theKubewarden())) {
		return fmt.Errorf("policy no-privileged-pod is in mode %s with message %q", policy.Spec.Mode, policy.Spec.Message)
	}
	return nil
}

// mustGet is an object as it is now; empty when it cannot be read.
func mustGet[T client.Object](ctx context.Context, c *cluster, object T) T {
	if err := c.admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		object.SetUID(types.UID("unknown: " + err.Error()))
	}
	return object
}

func managersOf(object client.Object) []string {
	entries := object.GetManagedFields()
	managers := make([]string, 0, len(entries))
	for _, entry := range entries {
		managers = append(managers, entry.Manager)
	}
	return managers
}
