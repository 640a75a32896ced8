package render

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names of what is made for a Prometheus and for Grafana.
const (
	monitorOperator      = "kubewarden-operator"
	monitorPolicyServers = "kubewarden-policy-servers"
	monitorAlerts        = "kubewarden"
	monitorDashboard     = "kubewarden-dashboard"
)

// operatorName and operatorComponent are labels of the operator's own Service of metrics
// (config/manager), whose port is named as that of the policy servers.
const (
	operatorName      = "kubewarden-operator"
	operatorComponent = "operator"
)

// labelPolicyServerOfSeries is the label of all series of a policy server that tells which
// one it is of; the operator's series about policy servers have the same.
const labelPolicyServerOfSeries = "policy_server"

// MonitoringInput is what is rendered for monitoring from.
type MonitoringInput struct {
	Config       Config
	Installation Installation
	// Labels are on all objects, beside those that the operator needs. They are read only.
	Labels map[string]string
}

// Monitoring renders what a Prometheus needs to watch an installation: what to scrape, when
// to call somebody, and a dashboard. config/prometheus is made of it, too.
func Monitoring(in MonitoringInput) ([]Object, error) {
	dashboard, err := in.dashboard()
	if err != nil {
		return nil, err
	}
	return []Object{in.operatorMonitor(), in.policyServersMonitor(), in.alerts(), dashboard}, nil
}

// Kinds of the Prometheus operator. Few of their fields are used, so its Go types are not.
const (
	monitoringGroup    = "monitoring.coreos.com"
	monitoringVersion  = "v1"
	KindServiceMonitor = "ServiceMonitor"
	KindPrometheusRule = "PrometheusRule"
)

// MonitoringKind is the full name of one of the kinds of the Prometheus operator.
func MonitoringKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: monitoringGroup, Version: monitoringVersion, Kind: kind}
}

// MonitoringKinds are all kinds that Monitoring can render.
func MonitoringKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		MonitoringKind(KindServiceMonitor), MonitoringKind(KindPrometheusRule), corev1.SchemeGroupVersion.WithKind("ConfigMap"),
	}
}

// MonitoringLabels are on everything that Monitoring renders.
func MonitoringLabels(installation string) map[string]string {
	return merge(InstallationLabels(installation), map[string]string{labelComponent: componentMonitoring})
}

// meta is the metadata of an object. One that is rendered for no installation, to be applied
// by a user, must not look like the operator's.
func (in MonitoringInput) meta(name string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:      name,
		Namespace: in.Config.Namespace,
		Labels: merge(in.Labels, MonitoringLabels(in.Installation.Name), map[string]string{
			labelPartOf:    partOfKubewarden,
			labelManagedBy: managedByController,
		}),
	}
	if in.Installation.Name == "" {
		delete(meta.Labels, LabelInstallation)
		delete(meta.Labels, labelManagedBy)
	}
	return meta
}

func (in MonitoringInput) operatorMonitor() *unstructured.Unstructured {
	return in.serviceMonitor(monitorOperator, map[string]any{labelName: operatorName, labelComponent: operatorComponent},
		map[string]any{"port": metricsPortName})
}

// policyServersMonitor finds the Services of all policy servers, also of those to come.
func (in MonitoringInput) policyServersMonitor() *unstructured.Unstructured {
	return in.serviceMonitor(monitorPolicyServers, map[string]any{labelComponent: componentPolicyServer, labelPartOf: partOfKubewarden},
		map[string]any{
			"port": metricsPortName,
			"relabelings": []any{map[string]any{
				"sourceLabels": []any{"__meta_kubernetes_service_label_kubewarden_policy_server"},
				"targetLabel":  labelPolicyServerOfSeries,
			}},
		})
}

func (in MonitoringInput) serviceMonitor(name string, services, endpoint map[string]any) *unstructured.Unstructured {
	return in.custom(KindServiceMonitor, name, map[string]any{
		"selector":  map[string]any{"matchLabels": services},
		"endpoints": []any{endpoint},
	})
}

// custom is an object of a kind of the Prometheus operator.
func (in MonitoringInput) custom(kind, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(MonitoringKind(kind))
	meta := in.meta(name)
	object.SetName(meta.Name)
	object.SetNamespace(meta.Namespace)
	object.SetLabels(meta.Labels)
	return object
}
