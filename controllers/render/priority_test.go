package render_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// What is installed and what the operator puts back are the same.
func TestPriorityClassIsTheOneThatIsInstalled(t *testing.T) {
	goldenFile(t, "../../config/manager/priority_class.yaml", render.PriorityClass())
	var installed appsv1.Deployment
	decode(t, "manager/manager.yaml", &installed)
	if got := installed.Spec.Template.Spec.PriorityClassName; got != render.PriorityClassName {
		t.Errorf("the operator's Deployment has the priority class %q, want %q", got, render.PriorityClassName)
	}
}

func TestPriorityClassOfPods(t *testing.T) {
	const foreign = "ghcr.io/kubewarden/adm-controller/policy-server:v1.37.2"
	for name, tc := range map[string]struct {
		image, class, want string
	}{
		"nothing said":                             {want: render.PriorityClassName},
		"what the spec says":                       {class: "high", want: "high"},
		"an image of another contract":             {image: foreign},
		"an image of another contract, and a word": {image: foreign, class: "high", want: "high"},
	} {
		t.Run(name, func(t *testing.T) {
			in := serverInput(func(spec *policiesv1.PolicyServerSpec) { spec.Image, spec.PriorityClassName = tc.image, tc.class })
			if got := render.Deployment(in).Spec.Template.Spec.PriorityClassName; got != tc.want {
				t.Errorf("the priority class is %q, want %q", got, tc.want)
			}
		})
	}
}
