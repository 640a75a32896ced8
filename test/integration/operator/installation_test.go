//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func theKubewarden() *operatorv1alpha1.Kubewarden {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	kubewarden.Name = operatorv1alpha1.KubewardenName
	return kubewarden
}

func defaultServer() *policiesv1.PolicyServer {
	return &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
}

func (c *cluster) kubewardenIs(all ...expected) func(context.Context) error {
	return func(ctx context.Context) error {
		kubewarden := theKubewarden()
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(kubewarden), kubewarden); err != nil {
			return err
		}
		return checkConditions(kubewarden.Status.Conditions, kubewarden.Generation, all...)
	}
}

func (c *cluster) hasEvent(t *testing.T, object client.Object, want string) func(context.Context) error {
	t.Helper()
	return func(context.Context) error {
		if got := c.events(t, object); !slices.Contains(got, want) {
			return fmt.Errorf("events are %v, want %s among them", got, want)
		}
		return nil
	}
}

// The life of an installation, from an operator that idles to one that idles again.
func TestInstallation(t *testing.T) {
	c := ownCluster(t, (*cluster).InstallCertManager, (*cluster).StartIssuer, (*cluster).StartOperator)
	usersServer := c.createServer(t, "users")
	policy := c.createPolicy(t, "users", "users")
	var replicas []*replica

	t.Run("without a Kubewarden the operator idles and says so", func(t *testing.T) {
		within(t, patience, c.policyIs(policy, policiesv1.PolicyStatePending,
			expected{policiesv1.ConditionReady, metav1.ConditionFalse, "NoInstallation"}))
		within(t, patience, c.serverIs(usersServer,
			expected{policiesv1.ConditionReady, metav1.ConditionFalse, "NoInstallation"}))
		within(t, patience, c.hasEvent(t, policy, "Warning NoInstallation"))
		if err := c.mustNotExist(t.Context(), named(&appsv1.Deployment{}, "policy-server-users")); err != nil {
			t.Error(err)
		}
	})

	t.Run("a Kubewarden brings the default PolicyServer and the authority", func(t *testing.T) {
		if err := c.CreateKubewarden(); err != nil {
			t.Fatal(err)
		}
		within(t, patience, c.kubewardenIs(
			expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Issued"},
			expected{operatorv1alpha1.ConditionReady, metav1.ConditionFalse, "DefaultPolicyServerNotReady"}))
		c.startReplicas(t, "default", 2)
		replicas = c.startReplicas(t, "users", 2)
		within(t, patience, c.kubewardenIs(expected{operatorv1alpha1.ConditionReady, metav1.ConditionTrue, "Enforcing"}))
		within(t, patience, c.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
		checkKubewarden(t, c)
	})

	t.Run("suspended enforcement withdraws webhooks and nothing else", func(t *testing.T) {
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
			k.Spec.Enforcement = operatorv1alpha1.EnforcementSuspended
		})
		within(t, healing, func(ctx context.Context) error { return c.mustNotExist(ctx, validatingWebhook("users")) })
		within(t, patience, c.policyIs(policy, policiesv1.PolicyStatePending,
			expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Suspended"},
			expected{policiesv1.ConditionPolicyActive, metav1.ConditionFalse, ""}))
		within(t, patience, c.kubewardenIs(expected{operatorv1alpha1.ConditionReady, metav1.ConditionFalse, "Suspended"}))
		within(t, patience, c.hasEvent(t, policy, "Warning Suspended"))
		if err := c.mustExist(t.Context(), named(&appsv1.Deployment{}, "policy-server-users")); err != nil {
			t.Error(err)
		}
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
			k.Spec.Enforcement = operatorv1alpha1.EnforcementEnabled
		})
		within(t, healing, func(ctx context.Context) error { return c.mustExist(ctx, validatingWebhook("users")) })
		within(t, patience, c.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
		within(t, patience, c.hasEvent(t, policy, "Normal Recovered"))
	})

	t.Run("an exempt namespace is in every webhook", func(t *testing.T) {
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { k.Spec.ExemptNamespaces = []string{"kube-system"} })
		within(t, healing, func(ctx context.Context) error {
			webhook := validatingWebhook("users")
			if err := c.mustExist(ctx, webhook); err != nil {
				return err
			}
			got := webhook.Webhooks[0].NamespaceSelector.MatchExpressions[0].Values
			if want := []string{"kube-system", namespace}; !cmp.Equal(got, want) {
				return fmt.Errorf("exempt are %v, want %v", got, want)
			}
			return nil
		})
	})

	t.Run("the default PolicyServer can be done without", func(t *testing.T) {
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { k.Spec.DefaultPolicyServer.Enabled = new(bool) })
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, defaultServer()) })
		within(t, patience, c.kubewardenIs(expected{operatorv1alpha1.ConditionReady, metav1.ConditionTrue, "Enforcing"}))
	})

	t.Run("without the Kubewarden what it made goes and what users made stays", func(t *testing.T) {
		uninstall(t, c, usersServer, policy)
	})

	t.Run("a new Kubewarden adopts them", func(t *testing.T) {
		if err := c.CreateKubewarden(); err != nil {
			t.Fatal(err)
		}
		within(t, patience, c.configures(policy))
		// Their Pods would be new ones, with reports of their own.
		for _, replica := range replicas {
			replica.load(t)
		}
		within(t, patience, c.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	})
}

// isSettled is an error while something is under way, or needs somebody.
func isSettled(conditions []metav1.Condition) error {
	for kind, reason := range map[string]string{
		operatorv1alpha1.ConditionProgressing: operatorv1alpha1.ReasonSettled, operatorv1alpha1.ConditionDegraded: operatorv1alpha1.ReasonNothingFailed,
	} {
		if got := apimeta.FindStatusCondition(conditions, kind); got == nil || got.Reason != reason {
			return fmt.Errorf("condition %s is %+v, want reason %s", kind, got, reason)
		}
	}
	return nil
}

func checkKubewarden(t *testing.T, c *cluster) {
	t.Helper()
	within(t, patience, func(ctx context.Context) error {
		kubewarden := theKubewarden()
		if err := c.mustExist(ctx, kubewarden); err != nil {
			return err
		}
		status := kubewarden.Status
		if diff := cmp.Diff(&operatorv1alpha1.PolicyServerCounts{Total: 2, Ready: 2}, status.PolicyServers); diff != "" {
			return fmt.Errorf("unexpected policy servers:\n%s", diff)
		}
		if diff := cmp.Diff(&operatorv1alpha1.PolicyCounts{Total: 1, Active: 1}, status.Policies); diff != "" {
			return fmt.Errorf("unexpected policies:\n%s", diff)
		}
		if err := isSettled(status.Conditions); err != nil {
			return err
		}
		if len(status.NeverLockOut) == 0 || status.CertificateProvider != operatorv1alpha1.CertificateProviderCertManager {
			return fmt.Errorf("unexpected status %+v", status)
		}
		if got, want := kubewarden.Finalizers, []string{operatorv1alpha1.Finalizer}; !cmp.Equal(got, want) {
			return fmt.Errorf("finalizers are %v, want %v", got, want)
		}
		server := defaultServer()
		if err := c.mustExist(ctx, server); err != nil {
			return err
		}
		if controller := metav1.GetControllerOf(server); controller == nil || controller.UID != kubewarden.UID {
			return fmt.Errorf("PolicyServer default is controlled by %v", controller)
		}
		return nil
	})
}

// uninstall deletes the Kubewarden and watches the order in which things go.
func uninstall(t *testing.T, c *cluster, server *policiesv1.PolicyServer, policy *policiesv1.ClusterAdmissionPolicy) {
	t.Helper()
	declare(t, c, policy, podKind)
	within(t, patience, c.contextReaders(namespace+"/policy-server-users"))
	if err := c.admin.Delete(t.Context(), theKubewarden()); err != nil {
		t.Fatal(err)
	}
	deployment := named(&appsv1.Deployment{}, "policy-server-users")
	within(t, patience, func(ctx context.Context) error {
		// The later is read first: when it is gone, so must the earlier be.
		for _, order := range [][2]client.Object{
			{deployment, validatingWebhook("users")},
			{clusterRoleBinding(contextWatcher), deployment},
			{theKubewarden(), clusterRoleBinding(contextWatcher)},
		} {
			later, earlier := order[0], order[1]
			if err := c.mustNotExist(ctx, later); err != nil {
				return err
			}
			if err := c.mustNotExist(ctx, earlier); err != nil {
				t.Fatalf("%T went before its time: %v", later, err)
			}
		}
		return nil
	})
	within(t, patience, c.policyIs(policy, policiesv1.PolicyStatePending,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "NoInstallation"}))
	within(t, patience, c.serverIs(server, expected{policiesv1.ConditionReady, metav1.ConditionFalse, "NoInstallation"}))
	if len(policy.Finalizers) > 0 || len(server.Finalizers) > 0 {
		t.Errorf("finalizers are %v and %v, want none", policy.Finalizers, server.Finalizers)
	}
	for _, child := range childrenOf("users") {
		if err := c.mustNotExist(t.Context(), child); err != nil {
			t.Error(err)
		}
	}
	collectGarbage(t, c)
}

// collectGarbage removes what the Kubewarden owned, as the garbage collector would.
func collectGarbage(t *testing.T, c *cluster) {
	t.Helper()
	for _, owned := range []client.Object{
		named(&corev1.Secret{}, render.SecretCA), named(&corev1.Secret{}, render.CertificateCA),
		named(&certmanagerv1.Certificate{}, render.CertificateCA),
		named(&certmanagerv1.Issuer{}, render.IssuerCA), named(&certmanagerv1.Issuer{}, render.IssuerSelfSigned),
	} {
		if err := c.mustExist(t.Context(), owned); err != nil {
			t.Error(err)
			continue
		}
		if controller := metav1.GetControllerOf(owned); controller == nil || controller.Kind != "Kubewarden" {
			t.Errorf("%T %s is controlled by %v", owned, owned.GetName(), controller)
		}
		if err := c.admin.Delete(t.Context(), owned); err != nil {
			t.Error(err)
		}
	}
}

func TestCertManagerComesLater(t *testing.T) {
	c := ownCluster(t, (*cluster).StartIssuer, (*cluster).StartOperator)
	kubewarden := theKubewarden()
	kubewarden.Spec.Certificates.Provider = operatorv1alpha1.CertificateProviderCertManager
	if err := c.admin.Create(t.Context(), kubewarden); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.kubewardenIs(
		expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionFalse, "CertManagerNotFound"},
		expected{operatorv1alpha1.ConditionReady, metav1.ConditionFalse, "CertificatesNotReady"}))
	within(t, patience, c.serverIs(defaultServer(),
		expected{policiesv1.ConditionCertSecretReconciled, metav1.ConditionFalse, "WaitingForCertificate"},
		expected{policiesv1.ConditionDeploymentReconciled, metav1.ConditionTrue, ""},
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "WaitingForCertificate"}))
	if err := c.InstallCertManager(); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.kubewardenIs(
		expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Issued"}))
	within(t, patience, c.serverIs(defaultServer(),
		expected{policiesv1.ConditionCertSecretReconciled, metav1.ConditionTrue, ""},
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "WaitingForReplicas"}))

	// The watch that began late heals drift, as the others do.
	certificate := named(&certmanagerv1.Certificate{}, render.IssuedName("default"))
	if err := c.admin.Delete(t.Context(), certificate); err != nil {
		t.Fatal(err)
	}
	within(t, healing, func(ctx context.Context) error { return c.mustExist(ctx, certificate) })
}

// What was left behind while nobody looked: finalizers that were taken off by hand.
func TestOrphanedWebhooksGo(t *testing.T) {
	c := ownCluster(t,
		(*cluster).InstallCertManager, (*cluster).StartIssuer, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	first, _ := c.activate(t, "first")
	c.activate(t, "second")
	withoutFinalizers := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	remove := func(object client.Object) {
		t.Helper()
		if err := c.StopOperator(); err != nil {
			t.Fatal(err)
		}
		if err := c.admin.Patch(t.Context(), object, withoutFinalizers); err != nil {
			t.Fatal(err)
		}
		if err := c.admin.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if err := c.StartOperator(); err != nil {
			t.Fatal(err)
		}
	}

	remove(first)
	within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, validatingWebhook("first")) })
	throughout(t, time.Second, func(ctx context.Context) error { return c.mustExist(ctx, validatingWebhook("second")) })

	// Upstream's own configuration has a label in common with ours, and stays.
	upstreams := validatingWebhook("upstreams")
	upstreams.Labels = map[string]string{"app.kubernetes.io/part-of": "kubewarden"}
	c.create(t, upstreams)
	remove(theKubewarden())
	within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, validatingWebhook("second")) })
	if err := c.mustExist(t.Context(), upstreams); err != nil {
		t.Error(err)
	}
}
