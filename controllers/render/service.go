package render

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Service is what API servers call. The order of its ports is an interface: upstream's
// audit scanner calls the first.
func Service(in PolicyServerInput) *corev1.Service {
	ports := in.ports()
	service := &corev1.Service{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "Service"),
		ObjectMeta: in.childMeta(ServiceName(in.Server.Name)),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			Selector: map[string]string{
				labelInstance: childName(in.Server.Name),
				labelPartOf:   partOfKubewarden,
			},
			Ports: []corev1.ServicePort{{
				Name:       PortName,
				Protocol:   corev1.ProtocolTCP,
				Port:       contract.PortService,
				TargetPort: intstr.FromInt32(ports.webhook),
			}},
		},
	}
	if !in.withoutMetrics() {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name:       metricsPortName,
			Protocol:   corev1.ProtocolTCP,
			Port:       valueOr(in.Server.Spec.MetricsPort, contract.PortMetrics),
			TargetPort: intstr.FromInt32(ports.metrics),
		})
	}
	return service
}

// PodDisruptionBudget is what the spec says or, for two replicas and more, one replica at
// a time; nil for a single replica without a word, which no node could be drained of.
func PodDisruptionBudget(in PolicyServerInput) *policyv1.PodDisruptionBudget {
	spec := in.Server.Spec
	minAvailable, maxUnavailable := spec.MinAvailable, spec.MaxUnavailable
	switch {
	case minAvailable != nil:
		maxUnavailable = nil
	case maxUnavailable == nil && in.highestReplicas() < 2:
		return nil
	case maxUnavailable == nil:
		maxUnavailable = new(intstr.FromInt32(1))
	}
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   typeMeta(policyv1.SchemeGroupVersion, "PodDisruptionBudget"),
		ObjectMeta: in.childMeta(childName(in.Server.Name)),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable:   copyOf(minAvailable),
			MaxUnavailable: copyOf(maxUnavailable),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{
				labelInstance:     childName(in.Server.Name),
				labelPartOf:       partOfKubewarden,
				LabelPolicyServer: in.Server.Name,
			}},
			// A Pod that is not ready protects nobody and must not hold up a drain.
			UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
		},
	}
}

// ports are what the container listens on.
type ports struct{ webhook, readiness, metrics int32 }

// ports keeps the metrics port off the two that a user can choose.
func (in PolicyServerInput) ports() ports {
	chosen := ports{
		webhook:   valueOr(in.Server.Spec.WebhookPort, contract.PortWebhook),
		readiness: valueOr(in.Server.Spec.ReadinessProbePort, contract.PortReadiness),
		metrics:   contract.PortMetrics,
	}
	for chosen.metrics == chosen.webhook || chosen.metrics == chosen.readiness {
		chosen.metrics++
	}
	return chosen
}

func valueOr[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

func copyOf[T any](value *T) *T {
	if value == nil {
		return nil
	}
	return new(*value)
}
