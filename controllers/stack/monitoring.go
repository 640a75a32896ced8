package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/optional"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=kubewarden,resources=servicemonitors;prometheusrules,verbs=get;list;watch;create;patch;delete

// The kinds of the Prometheus operator that are used; a cluster may lack them.
const (
	definitionServiceMonitors = "servicemonitors.monitoring.coreos.com"
	definitionPrometheusRules = "prometheusrules.monitoring.coreos.com"
)

// monitoringDefinitions are their definitions by kind.
var monitoringDefinitions = map[string]string{
	render.KindServiceMonitor: definitionServiceMonitors,
	render.KindPrometheusRule: definitionPrometheusRules,
}

// monitoring is what became of what a Prometheus needs.
type monitoring struct {
	// synced says that an attempt was made to write it, and failed holds what came of it.
	synced bool
	failed error
	// missing are the definitions that the cluster lacks, sorted.
	missing []string
	// foreign are those whose name an object has that somebody else made.
	foreign []string
	// applied is what was written, in words.
	applied []string
}

// monitored says whether anything is to be made for a Prometheus.
func (s *state) monitored() bool {
	enabled := s.kubewarden.Spec.Telemetry.Monitoring.Enabled
	return enabled == nil || *enabled
}

// syncMonitoring makes what a Prometheus needs where the cluster has the kinds for it, and
// removes it where it is not wanted.
func (r *Reconciler) syncMonitoring(ctx context.Context, s *state) error {
	s.monitoring.synced = true
	s.monitoring.failed = r.applyMonitoring(ctx, s)
	return s.monitoring.failed
}

func (r *Reconciler) applyMonitoring(ctx context.Context, s *state) error {
	for _, definition := range []string{definitionPrometheusRules, definitionServiceMonitors} {
		served, err := optional.IsServed(ctx, r.Client, definition)
		if err != nil {
			return err
		}
		if !served {
			s.monitoring.missing = append(s.monitoring.missing, definition)
		}
	}
	var objects []render.Object
	if s.monitored() && len(s.monitoring.missing) == 0 {
		var err error
		objects, err = render.Monitoring(render.MonitoringInput{
			Config:       r.Render,
			Installation: render.NewInstallation(s.kubewarden),
			Labels:       s.kubewarden.Spec.Telemetry.Monitoring.Labels,
		})
		if err != nil {
			return err
		}
	}
	var failures []error
	for _, object := range objects {
		name := object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetName()
		err := r.Applier.Apply(ctx, s.kubewarden, object)
		if _, foreign := errors.AsType[*apply.ForeignError](err); foreign {
			s.monitoring.foreign = append(s.monitoring.foreign, name)
			continue
		}
		failures = append(failures, err)
		s.monitoring.applied = append(s.monitoring.applied, name)
	}
	return errors.Join(errors.Join(failures...), r.pruneMonitoring(ctx, s, objects...))
}

// pruneMonitoring removes what is not to be kept, of the kinds that the cluster has.
func (r *Reconciler) pruneMonitoring(ctx context.Context, s *state, keep ...render.Object) error {
	kinds := slices.DeleteFunc(render.MonitoringKinds(), func(kind schema.GroupVersionKind) bool {
		return slices.Contains(s.monitoring.missing, monitoringDefinitions[kind.Kind])
	})
	return r.Applier.Prune(ctx, apply.Scope{
		Owner:     s.kubewarden,
		Namespace: r.Render.Namespace,
		Labels:    render.MonitoringLabels(s.kubewarden.Name),
		Kinds:     kinds,
	}, keep...)
}

// untyped is an empty object of a kind of the Prometheus operator.
func untyped(kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(render.MonitoringKind(kind))
	return object
}

// setMonitoring tells of what was made for a Prometheus.
func setMonitoring(s *state) {
	if !s.kubewarden.DeletionTimestamp.IsZero() {
		apimeta.RemoveStatusCondition(&s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionMonitoringApplied)
		return
	}
	if !s.monitoring.synced {
		return
	}
	condition := metav1.Condition{Type: operatorv1alpha1.ConditionMonitoringApplied, Status: metav1.ConditionFalse}
	switch {
	case s.monitoring.failed != nil:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonReconciliationFailed, resource.Text(s.monitoring.failed)
	case !s.monitored():
		condition.Reason, condition.Message = operatorv1alpha1.ReasonDisabled, "spec.telemetry.monitoring.enabled is false"
	case len(s.monitoring.missing) > 0:
		condition.Reason = operatorv1alpha1.ReasonMonitoringKindsNotServed
		condition.Message = fmt.Sprintf("the cluster has no CustomResourceDefinition %s: nothing is made until the Prometheus operator is installed",
			strings.Join(s.monitoring.missing, " and no "))
	case len(s.monitoring.foreign) > 0:
		condition.Reason = operatorv1alpha1.ReasonForeignObjects
		condition.Message = "objects with these names were not made by this operator and are left alone, rename or delete them: " +
			strings.Join(s.monitoring.foreign, ", ")
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, operatorv1alpha1.ReasonApplied
		condition.Message = strings.Join(s.monitoring.applied, ", ")
	}
	s.setCondition(condition)
}
