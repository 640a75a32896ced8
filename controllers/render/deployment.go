package render

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Deployment runs the replicas. Nothing in it depends on a policy, so that no change of
// policies restarts a Pod; where one must, markRollout adds what does.
func Deployment(in PolicyServerInput) *appsv1.Deployment {
	meta := in.childMeta(DeploymentName(in.Server.Name))
	meta.Labels = merge(in.Server.Spec.Labels, meta.Labels)
	meta.Annotations = maps.Clone(in.Server.Spec.Annotations)
	return &appsv1.Deployment{
		TypeMeta:   typeMeta(appsv1.SchemeGroupVersion, "Deployment"),
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: in.deploymentReplicas(),
			Selector: &metav1.LabelSelector{MatchLabels: in.selector()},
			Strategy: in.strategy(),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      merge(in.Server.Spec.Labels, commonLabels(in.Server.Name), in.selector()),
					Annotations: maps.Clone(in.Server.Spec.Annotations),
				},
				Spec: in.podSpec(),
			},
		},
	}
}

// selector is upstream's; the selector of a Deployment can never change.
func (in PolicyServerInput) selector() map[string]string {
	return map[string]string{labelApp: appLabelValue(in.Server.Name)}
}

// strategy never goes below the wanted number of replicas: a new one must be ready before
// an old one goes. Where the user forbids two replicas on one node, a cluster may have no
// node left for the new one, and one of several old ones may go first.
func (in PolicyServerInput) strategy() appsv1.DeploymentStrategy {
	surge, unavailable := intstr.FromInt32(1), intstr.FromInt32(0)
	if in.replicas() > 1 && forbidsNeighbours(in.Server.Spec.Affinity) {
		unavailable = intstr.FromInt32(1)
	}
	return appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxSurge:       &surge,
			MaxUnavailable: &unavailable,
		},
	}
}

func forbidsNeighbours(affinity corev1.Affinity) bool {
	return affinity.PodAntiAffinity != nil &&
		len(affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0
}

// terminationGracePeriod, in seconds, is for a replica that is told to stop: to serve
// until no API server sends to it any more, and then to finish what it has begun, which
// takes no longer than the longest timeout of a webhook, 30 s.
const terminationGracePeriod = 60

func (in PolicyServerInput) podSpec() corev1.PodSpec {
	spec := in.Server.Spec
	pod := corev1.PodSpec{
		ServiceAccountName: ServiceAccountName(in.Server),
		// The server reads its configuration through the API.
		AutomountServiceAccountToken: new(true),
		// A Service named kubewarden would otherwise set KUBEWARDEN_PORT.
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(in.gracePeriod()),
		SecurityContext:               podSecurityContext(spec.SecurityContexts),
		PriorityClassName:             in.priorityClassName(),
		Containers:                    []corev1.Container{in.container()},
		Volumes:                       in.volumes(),
	}
	for _, secret := range in.Config.ImagePullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
	}
	for _, toleration := range spec.Tolerations {
		pod.Tolerations = append(pod.Tolerations, *toleration.DeepCopy())
	}
	if spec.Affinity == (corev1.Affinity{}) {
		pod.TopologySpreadConstraints = in.spread()
	} else {
		pod.Affinity = spec.Affinity.DeepCopy()
	}
	return pod
}

// spread puts replicas on different nodes where it can. Zones are left out on purpose:
// the scheduler scores no node by constraints one of whose labels the node lacks, and
// many clusters label no zones.
func (in PolicyServerInput) spread() []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew:           1,
		TopologyKey:       corev1.LabelHostname,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: in.selector()},
		// Count the new Pods of a roll-out alone.
		MatchLabelKeys: []string{appsv1.DefaultDeploymentUniqueLabelKey},
	}}
}

// podSecurityContext names no user and no group: some platforms assign their own, and
// the image runs as any.
func podSecurityContext(security policiesv1.PolicyServerSecurity) *corev1.PodSecurityContext {
	if security.Pod != nil {
		return security.Pod.DeepCopy()
	}
	return &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}
