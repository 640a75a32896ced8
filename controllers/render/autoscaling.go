package render

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const (
	// mostScaled bounds what an autoscaler may ask for: all replicas report in one ConfigMap,
	// where a hundred and their successors have 4 KiB each.
	mostScaled = 100
	// defaultTargetCPU, in percent, is that of Kubernetes's own autoscalers.
	defaultTargetCPU = 80
	mostTargetCPU    = 1000
)

// Scaling is how an autoscaler is to choose the number of replicas.
type Scaling struct {
	// Min and Max bound the number. With a Min of 0 there are no replicas, and no autoscaler.
	Min, Max int32
	// TargetCPU is how much of the CPU that it requests a replica is to use, in percent.
	TargetCPU int32
}

// ScalingOf reads the annotations of a PolicyServer; nil when they ask for no autoscaler. The
// errors name the annotation, or the field of the spec that one needs.
func ScalingOf(server *policiesv1.PolicyServer) (*Scaling, field.ErrorList) {
	path := field.NewPath("metadata", "annotations")
	most, asked := server.Annotations[policiesv1.AnnotationMaxReplicas]
	target, targeted := server.Annotations[policiesv1.AnnotationTargetCPU]
	switch {
	case !asked && !targeted:
		return nil, nil
	case !asked:
		return nil, field.ErrorList{field.Required(path.Key(policiesv1.AnnotationMaxReplicas),
			policiesv1.AnnotationTargetCPU+" says nothing without it")}
	}
	scaling := &Scaling{Min: specReplicas(server), TargetCPU: defaultTargetCPU}
	var failures, failed field.ErrorList
	scaling.Max, failures = whole(path.Key(policiesv1.AnnotationMaxReplicas), most, max(1, scaling.Min), mostScaled)
	if targeted {
		scaling.TargetCPU, failed = whole(path.Key(policiesv1.AnnotationTargetCPU), target, 1, mostTargetCPU)
		failures = append(failures, failed...)
	}
	// The API server takes limits for requests where there are none.
	requests, limits := server.Spec.Requests[corev1.ResourceCPU], server.Spec.Limits[corev1.ResourceCPU]
	if requests.IsZero() && limits.IsZero() {
		failures = append(failures, field.Required(field.NewPath("spec", "requests", "cpu"),
			policiesv1.AnnotationMaxReplicas+" needs it: replicas are scaled by how much of it they use"))
	}
	if len(failures) > 0 {
		return nil, failures
	}
	return scaling, nil
}

// whole reads a whole number within bounds.
func whole(path *field.Path, text string, least, most int32) (int32, field.ErrorList) {
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil || int32(number) < least || int32(number) > most {
		return 0, field.ErrorList{field.Invalid(path, text, fmt.Sprintf("must be a whole number from %d to %d", least, most))}
	}
	return int32(number), nil
}

// specReplicas is the number of replicas that the spec asks for.
func specReplicas(server *policiesv1.PolicyServer) int32 {
	return valueOr(server.Spec.Replicas, defaultReplicas)
}

// WantedReplicas is how many replicas a PolicyServer is to have: what its spec says or, where
// an autoscaler chooses within bounds, what it chose. scaled is the number that the live
// Deployment asks for; nil when there is none.
func WantedReplicas(server *policiesv1.PolicyServer, scaled *int32) int32 {
	scaling, failures := ScalingOf(server)
	if scaling == nil || len(failures) > 0 || scaling.Min == 0 || scaled == nil {
		return specReplicas(server)
	}
	return min(max(*scaled, scaling.Min), scaling.Max)
}

// deploymentReplicas is the number that the Deployment is written with; nil leaves it to the
// autoscaler. A new Deployment, and one beyond the bounds, is written with a number first:
// one without would have a single replica, and of none no autoscaler makes more.
func (in PolicyServerInput) deploymentReplicas() *int32 {
	wanted := WantedReplicas(in.Server, in.Scaled)
	if in.autoscaled() && in.Scaled != nil && *in.Scaled == wanted {
		return nil
	}
	return new(wanted)
}

// autoscaled says whether an autoscaler chooses the number of replicas.
func (in PolicyServerInput) autoscaled() bool {
	scaling, _ := ScalingOf(in.Server)
	return scaling != nil && scaling.Min > 0
}

// highestReplicas is the largest number of replicas that may be wanted.
func (in PolicyServerInput) highestReplicas() int32 {
	if scaling, _ := ScalingOf(in.Server); scaling != nil && scaling.Min > 0 {
		return scaling.Max
	}
	return in.replicas()
}

// HorizontalPodAutoscaler chooses the number of replicas by the CPU that the container uses,
// so that those which others put into the Pods need not say what they request; nil when none
// is asked for.
func HorizontalPodAutoscaler(in PolicyServerInput) *autoscalingv2.HorizontalPodAutoscaler {
	scaling, _ := ScalingOf(in.Server)
	if scaling == nil || scaling.Min == 0 {
		return nil
	}
	return &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   typeMeta(autoscalingv2.SchemeGroupVersion, "HorizontalPodAutoscaler"),
		ObjectMeta: in.childMeta(childName(in.Server.Name)),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
				APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment", Name: DeploymentName(in.Server.Name),
			},
			MinReplicas: new(scaling.Min),
			MaxReplicas: scaling.Max,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ContainerResourceMetricSourceType,
				ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
					Name:      corev1.ResourceCPU,
					Container: childName(in.Server.Name),
					Target: autoscalingv2.MetricTarget{
						Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(scaling.TargetCPU),
					},
				},
			}},
		},
	}
}
