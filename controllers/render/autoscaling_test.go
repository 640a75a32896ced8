package render_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// scaledInput asks for an autoscaler between least and most.
func scaledInput(least int32, annotations map[string]string) render.PolicyServerInput {
	in := serverInput(func(spec *policiesv1.PolicyServerSpec) {
		spec.Replicas = new(least)
		spec.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}
	})
	in.Server.Annotations = annotations
	return in
}

func TestAutoscaler(t *testing.T) {
	in := scaledInput(2, map[string]string{policiesv1.AnnotationMaxReplicas: "20", policiesv1.AnnotationTargetCPU: "60"})
	in.Scaled = new(int32(5))
	golden(t, "autoscaler", render.HorizontalPodAutoscaler(in))
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := configMap.Data[contract.KeyReportLimit], "22478"; got != want {
		t.Errorf("a report may have %s bytes, want %s: the room of the most replicas that there may be", got, want)
	}
	if one := scaledInput(1, in.Server.Annotations); render.PodDisruptionBudget(one) == nil {
		t.Error("there is no budget for what may become many replicas")
	}
}

// What is left out is the autoscaler's; what is not, no autoscaler could bring about, or only
// after a drop to one replica.
func TestReplicasAreLeftToTheAutoscalerWithinItsBounds(t *testing.T) {
	most := map[string]string{policiesv1.AnnotationMaxReplicas: "6"}
	for name, tc := range map[string]struct {
		least       int32
		annotations map[string]string
		scaled      *int32
		want        *int32 // of the Deployment
		wanted      int32  // of the status
		autoscaler  bool
	}{
		"no autoscaler":         {least: 3, scaled: new(int32(5)), want: new(int32(3)), wanted: 3},
		"no Deployment yet":     {least: 3, annotations: most, want: new(int32(3)), wanted: 3, autoscaler: true},
		"within the bounds":     {least: 3, annotations: most, scaled: new(int32(5)), wanted: 5, autoscaler: true},
		"at the least":          {least: 3, annotations: most, scaled: new(int32(3)), wanted: 3, autoscaler: true},
		"at the most":           {least: 3, annotations: most, scaled: new(int32(6)), wanted: 6, autoscaler: true},
		"fewer than the least":  {least: 3, annotations: most, scaled: new(int32(0)), want: new(int32(3)), wanted: 3, autoscaler: true},
		"more than the most":    {least: 3, annotations: most, scaled: new(int32(9)), want: new(int32(6)), wanted: 6, autoscaler: true},
		"scaled to 0 by a user": {annotations: most, scaled: new(int32(5)), want: new(int32(0))},
	} {
		t.Run(name, func(t *testing.T) {
			in := scaledInput(tc.least, tc.annotations)
			in.Scaled = tc.scaled
			got := render.Deployment(in).Spec.Replicas
			if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
				t.Errorf("the Deployment is written with %v replicas, want %v", got, tc.want)
			}
			if got := render.WantedReplicas(in.Server, tc.scaled); got != tc.wanted {
				t.Errorf("%d replicas are wanted, want %d", got, tc.wanted)
			}
			if got := render.HorizontalPodAutoscaler(in) != nil; got != tc.autoscaler {
				t.Errorf("there is an autoscaler: %t, want %t", got, tc.autoscaler)
			}
		})
	}
}

func TestScalingRefuses(t *testing.T) {
	const least, target = policiesv1.AnnotationMaxReplicas, policiesv1.AnnotationTargetCPU
	for name, tc := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"no number":        {map[string]string{least: "many"}, `metadata.annotations[kubewarden.io/max-replicas]: Invalid value: "many": must be a whole number from 2 to 100`},
		"below replicas":   {map[string]string{least: "1"}, `must be a whole number from 2 to 100`},
		"too many":         {map[string]string{least: "101"}, `must be a whole number from 2 to 100`},
		"beyond an int":    {map[string]string{least: "4294967298"}, `must be a whole number from 2 to 100`},
		"no target":        {map[string]string{least: "4", target: "80%"}, `metadata.annotations[kubewarden.io/target-cpu-utilization]: Invalid value: "80%": must be a whole number from 1 to 1000`},
		"a target of none": {map[string]string{least: "4", target: "0"}, `must be a whole number from 1 to 1000`},
		"a target alone":   {map[string]string{target: "80"}, `metadata.annotations[kubewarden.io/max-replicas]: Required value: kubewarden.io/target-cpu-utilization says nothing without it`},
	} {
		t.Run(name, func(t *testing.T) {
			in := scaledInput(2, tc.annotations)
			if _, err := render.PolicyServer(in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want it to say %q", err, tc.want)
			}
		})
	}
	in := serverInput()
	in.Server.Annotations = map[string]string{least: "4"}
	want := "spec.requests.cpu: Required value: kubewarden.io/max-replicas needs it"
	if _, err := render.PolicyServer(in); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want it to say %q", err, want)
	}
}
