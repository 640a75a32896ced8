package render

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NetworkPolicy lets in what a policy server is for: admission requests and readiness probes
// from everywhere, since API servers and kubelets are no Pods that a selector could find,
// and the reading of metrics from those who are named. Nil when none is wanted.
func NetworkPolicy(in PolicyServerInput) *networkingv1.NetworkPolicy {
	wanted := in.Installation.NetworkPolicies
	if !valueOr(wanted.Enabled, true) {
		return nil
	}
	ports := in.ports()
	policy := &networkingv1.NetworkPolicy{
		TypeMeta:   typeMeta(networkingv1.SchemeGroupVersion, "NetworkPolicy"),
		ObjectMeta: in.childMeta(childName(in.Server.Name)),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: in.selector()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				Ports: []networkingv1.NetworkPolicyPort{tcp(ports.webhook), tcp(ports.readiness)},
			}},
		},
	}
	if !in.withoutMetrics() {
		policy.Spec.Ingress = append(policy.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{
			From:  metricsFrom(wanted.MetricsFrom),
			Ports: []networkingv1.NetworkPolicyPort{tcp(ports.metrics)},
		})
	}
	if len(wanted.Egress) > 0 {
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		for i := range wanted.Egress {
			policy.Spec.Egress = append(policy.Spec.Egress, *wanted.Egress[i].DeepCopy())
		}
	}
	return policy
}

// metricsFrom is never empty, which would mean everyone.
func metricsFrom(named []networkingv1.NetworkPolicyPeer) []networkingv1.NetworkPolicyPeer {
	if len(named) == 0 {
		return []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}
	}
	var peers []networkingv1.NetworkPolicyPeer
	for i := range named {
		peers = append(peers, *named[i].DeepCopy())
	}
	return peers
}

func tcp(port int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(port))}
}
