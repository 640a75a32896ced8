//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// monitoringIs checks what the condition MonitoringApplied says.
func (c *cluster) monitoringIs(reason string) func(context.Context) error {
	return func(ctx context.Context) error {
		kubewarden := &operatorv1alpha1.Kubewarden{}
		if err := c.admin.Get(ctx, client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden); err != nil {
			return err
		}
		condition := apimeta.FindStatusCondition(kubewarden.Status.Conditions, operatorv1alpha1.ConditionMonitoringApplied)
		if condition == nil || condition.Reason != reason || condition.ObservedGeneration != kubewarden.Generation {
			return fmt.Errorf("the condition is %+v, want reason %s", condition, reason)
		}
		return nil
	}
}

// installMonitoringKinds brings kinds of the Prometheus operator into the cluster.
func (c *cluster) installMonitoringKinds() error {
	_, err := envtest.InstallCRDs(c.Config, envtest.CRDInstallOptions{Paths: []string{"testdata/monitoring"}, ErrorIfPathMissing: true})
	return err
}

// monitoringObject is an object of a kind of the Prometheus operator.
func monitoringObject(kind, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(render.MonitoringKind(kind))
	return named(object, name)
}

func monitoringObjects() []client.Object {
	return []client.Object{
		monitoringObject("ServiceMonitor", "kubewarden-operator"),
		monitoringObject("ServiceMonitor", "kubewarden-policy-servers"),
		monitoringObject("PrometheusRule", "kubewarden"),
		named(&corev1.ConfigMap{}, "kubewarden-dashboard"),
	}
}

// The kinds of the Prometheus operator come while the operator runs; what is made of them
// heals, takes labels, leaves alone what others made, and goes when it is not wanted.
func TestMonitoring(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	within(t, patience, c.monitoringIs(operatorv1alpha1.ReasonMonitoringKindsNotServed))

	if err := c.installMonitoringKinds(); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.monitoringIs(operatorv1alpha1.ReasonApplied))
	within(t, patience, c.monitoringBears("app.kubernetes.io/component", "monitoring"))

	monitor := monitoringObjects()[0]
	if err := c.admin.Delete(t.Context(), monitor); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, monitoringObjects()[0]) })

	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: operatorv1alpha1.KubewardenName}}
	change(t, c, kubewarden, func(k *operatorv1alpha1.Kubewarden) {
		k.Spec.Telemetry.Monitoring.Labels = map[string]string{"release": "prometheus"}
	})
	within(t, patience, c.monitoringBears("release", "prometheus"))

	change(t, c, kubewarden, func(k *operatorv1alpha1.Kubewarden) { k.Spec.Telemetry.Monitoring.Enabled = new(false) })
	within(t, patience, c.monitoringIs(operatorv1alpha1.ReasonDisabled))
	for _, object := range monitoringObjects() {
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, object) })
	}

	foreign := monitoringObject("PrometheusRule", "kubewarden")
	foreign.Object["spec"] = map[string]any{}
	if err := c.admin.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	change(t, c, kubewarden, func(k *operatorv1alpha1.Kubewarden) { k.Spec.Telemetry.Monitoring.Enabled = new(true) })
	within(t, patience, c.monitoringIs(operatorv1alpha1.ReasonForeignObjects))
	if err := c.mustExist(t.Context(), foreign); err != nil || !cmp.Equal(foreign.Object["spec"], map[string]any{}) {
		t.Errorf("the object of others: error %v, spec %+v, want it left alone", err, foreign.Object["spec"])
	}

	monitoringKindsComeAndGo(t, c)
}

// monitoringBears complains unless all objects for monitoring have a label.
func (c *cluster) monitoringBears(label, value string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, object := range monitoringObjects() {
			if err := c.mustExist(ctx, object); err != nil {
				return err
			}
			if object.GetLabels()[label] != value {
				return fmt.Errorf("%T %s has the labels %v", object, object.GetName(), object.GetLabels())
			}
		}
		return nil
	}
}

// Kinds that go take their objects with them, and keep the operator from nothing else;
// when they are back, so is what is made of them.
func monitoringKindsComeAndGo(t *testing.T, c *cluster) {
	t.Helper()
	uninstallMonitoringKinds(t, c)
	within(t, patience, c.monitoringIs(operatorv1alpha1.ReasonMonitoringKindsNotServed))
	within(t, patience, func(ctx context.Context) error {
		return c.mustNotExist(ctx, named(&corev1.ConfigMap{}, "kubewarden-dashboard"))
	})
	if err := c.installMonitoringKinds(); err != nil {
		t.Fatal(err)
	}
	within(t, rightsPatience, func(ctx context.Context) error {
		for _, object := range monitoringObjects() {
			if err := c.mustExist(ctx, object); err != nil {
				return err
			}
		}
		return c.monitoringIs(operatorv1alpha1.ReasonApplied)(ctx)
	})
}

// uninstallMonitoringKinds takes the kinds of the Prometheus operator away.
func uninstallMonitoringKinds(t *testing.T, c *cluster) {
	t.Helper()
	for _, name := range []string{"servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"} {
		if err := c.admin.Delete(t.Context(), definition(name)); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, definition(name)) })
	}
}
