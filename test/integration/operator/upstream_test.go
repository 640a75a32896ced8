//go:build integration

package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

const (
	// helm and upstreamManager are the field managers of what upstream's chart and upstream's
	// controller write.
	helm            = "helm"
	upstreamManager = "controller"
)

// chartLabels are on what upstream's chart makes.
func chartLabels(component string) map[string]string {
	return map[string]string{
		"helm.sh/chart":                "admission-controller-6.0.2",
		"app.kubernetes.io/name":       "admission-controller",
		"app.kubernetes.io/instance":   "admission-controller",
		"app.kubernetes.io/version":    "v1.37.2",
		"app.kubernetes.io/part-of":    "kubewarden",
		"app.kubernetes.io/component":  component,
		"app.kubernetes.io/managed-by": "Helm",
	}
}

func releaseAnnotations() map[string]string {
	return map[string]string{
		"meta.helm.sh/release-name":      "admission-controller",
		"meta.helm.sh/release-namespace": namespace,
	}
}

// upstreamDeployment is what upstream's controller runs in.
func upstreamDeployment() *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/instance": "admission-controller", "app.kubernetes.io/component": "controller"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "admission-controller", Labels: chartLabels("controller"), Annotations: releaseAnnotations(),
		},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "controller", Image: "example.test/controller:v1.37.2"}}},
			},
		},
	}
}

// upstreamChecks is through what upstream's controller is asked about policy servers. It
// fails closed.
func upstreamChecks(serviceNamespace string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	path := "/validate-policies-kubewarden-io-v1-policyserver"
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{
			Name: "kubewarden-controller-validating-webhook-configuration", Labels: chartLabels("controller"), Annotations: releaseAnnotations(),
		},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "vpolicyserver.kb.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
				Namespace: serviceNamespace, Name: "admission-controller-webhook-service", Path: &path,
			}},
			FailurePolicy:           new(admissionregistrationv1.Fail),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{policiesv1.GroupVersion.Group}, APIVersions: []string{"v1"}, Resources: []string{"policyservers"},
				},
			}},
		}},
	}
}

// upstreamLease is held by upstream's controller.
func upstreamLease() *coordinationv1.Lease {
	now := metav1.NewMicroTime(time.Now())
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "a4ddbf36.kubewarden.io"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("admission-controller-0_upstream"), LeaseDurationSeconds: new(int32(3600)), AcquireTime: &now, RenewTime: &now,
		},
	}
}

// createAs makes an object as its maker did, and leaves it to the test.
func (c *cluster) createAs(t *testing.T, manager string, object client.Object) {
	t.Helper()
	if err := c.admin.Create(t.Context(), object, client.FieldOwner(manager)); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

// waits complains unless the Kubewarden says that upstream's controller runs, and where.
func (c *cluster) waits(where string) func(context.Context) error {
	return func(ctx context.Context) error {
		err := c.kubewardenIs(
			expected{operatorv1alpha1.ConditionReady, metav1.ConditionFalse, "UpstreamControllerRunning"},
			expected{operatorv1alpha1.ConditionDegraded, metav1.ConditionTrue, "UpstreamControllerRunning"})(ctx)
		if err != nil {
			return err
		}
		kubewarden := theKubewarden()
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(kubewarden), kubewarden); err != nil {
			return err
		}
		ready := apimeta.FindStatusCondition(kubewarden.Status.Conditions, operatorv1alpha1.ConditionReady)
		if !strings.Contains(ready.Message, where) {
			return fmt.Errorf("Ready says %q, want %q in it", ready.Message, where)
		}
		return nil
	}
}

// wroteNothing complains about anything that the operator made.
func (c *cluster) wroteNothing(ctx context.Context) error {
	ours := client.HasLabels{render.LabelInstallation}
	var failures error
	for _, list := range []client.ObjectList{
		&policiesv1.PolicyServerList{}, &corev1.SecretList{}, &corev1.ConfigMapList{}, &appsv1.DeploymentList{},
		&admissionregistrationv1.ValidatingWebhookConfigurationList{},
	} {
		if err := c.admin.List(ctx, list, ours); err != nil {
			return err
		}
		if count := apimeta.LenList(list); count > 0 {
			failures = errors.Join(failures, fmt.Errorf("%d objects in %T", count, list))
		}
	}
	return failures
}

func (c *cluster) scale(t *testing.T, deployment client.Object, replicas int) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)))
	if err := c.admin.Patch(t.Context(), deployment, patch); err != nil {
		t.Fatal(err)
	}
}

// While upstream's controller runs the operator writes nothing but its own status; when it
// is gone the operator goes on, unasked.
func TestUpstreamControllerIsWaitedFor(t *testing.T) {
	c := ownCluster(t)
	deployment, checks, lease := upstreamDeployment(), upstreamChecks(namespace), upstreamLease()
	for _, object := range []client.Object{deployment, checks, lease} {
		c.createAs(t, helm, object)
	}
	if err := errors.Join(c.StartOperator(), c.CreateKubewarden()); err != nil {
		t.Fatal(err)
	}

	t.Run("it is told by an operator that cannot lead", func(t *testing.T) {
		within(t, patience, c.waits("Deployment kubewarden/admission-controller"))
		within(t, patience, c.hasEvent(t, theKubewardenOf(t, c), "Warning UpstreamControllerRunning"))
	})
	t.Run("the one that leads writes nothing", func(t *testing.T) {
		if err := c.admin.Delete(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, upstreamLease()) })
		throughout(t, 3*time.Second, c.wroteNothing)
		within(t, patience, c.waits("Deployment kubewarden/admission-controller"))
	})
	t.Run("what is gone is no obstacle", func(t *testing.T) {
		c.scale(t, deployment, 0)
		within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, defaultServer()) })
		within(t, patience, c.kubewardenIs(expected{operatorv1alpha1.ConditionReady, metav1.ConditionFalse, "DefaultPolicyServerNotReady"}))
	})
	t.Run("its webhooks, which refuse every write, are removed", func(t *testing.T) {
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, upstreamChecks(namespace)) })
		within(t, patience, func(ctx context.Context) error {
			return c.mustExist(ctx, named(&appsv1.Deployment{}, "policy-server-default"))
		})
	})
	t.Run("one that comes back is waited for again", func(t *testing.T) {
		c.scale(t, deployment, 1)
		within(t, patience, c.waits("Deployment kubewarden/admission-controller"))
		c.createServer(t, "held")
		throughout(t, 2*time.Second, func(ctx context.Context) error {
			return c.mustNotExist(ctx, named(&appsv1.Deployment{}, "policy-server-held"))
		})
		c.scale(t, deployment, 0)
		within(t, patience, func(ctx context.Context) error {
			return c.mustExist(ctx, named(&appsv1.Deployment{}, "policy-server-held"))
		})
	})
}

// In another namespace, where the operator reads no Deployments, upstream's webhooks tell.
func TestUpstreamControllerElsewhereIsWaitedFor(t *testing.T) {
	c := ownCluster(t)
	checks := upstreamChecks("cattle-kubewarden-system")
	c.createAs(t, helm, checks)
	if err := errors.Join(c.StartOperator(), c.CreateKubewarden()); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.waits("Service cattle-kubewarden-system/admission-controller-webhook-service"))
	throughout(t, 2*time.Second, c.wroteNothing)
	if err := c.admin.Delete(t.Context(), checks); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, defaultServer()) })
}

func theKubewardenOf(t *testing.T, c *cluster) *operatorv1alpha1.Kubewarden {
	t.Helper()
	kubewarden := theKubewarden()
	if err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(kubewarden), kubewarden); err != nil {
		t.Fatal(err)
	}
	return kubewarden
}
