//go:build integration

package crd

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers"
)

// TestInstall looks at what config/default, which TestMain has applied, installs, and
// applies the samples to it.
func TestInstall(t *testing.T) {
	kubectl(t, "apply", "--server-side", "-k", configDir+"samples")
	t.Cleanup(func() { kubectl(t, "delete", "-k", configDir+"samples") })
	kubectl(t, "apply", "--server-side", "--dry-run=server", "-f", configDir+"samples/policies_v1_policyserver.yaml")

	operator := &appsv1.Deployment{}
	if err := k8s.Get(t.Context(), types.NamespacedName{Namespace: "kubewarden", Name: "kubewarden-operator"}, operator); err != nil {
		t.Fatal(err)
	}
	container := operator.Spec.Template.Spec.Containers[0]

	t.Run("the operator finds its own image, which policy servers follow", func(t *testing.T) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "operator", Namespace: operator.Namespace},
			Spec:       *operator.Spec.Template.Spec.DeepCopy(),
		}
		checkError(t, k8s.Create(t.Context(), pod), "")
		t.Cleanup(func() { checkError(t, k8s.Delete(context.Background(), pod), "") })

		got, err := controllers.OwnImage(t.Context(), restConfig, client.ObjectKeyFromObject(pod))
		checkError(t, err, "")
		if got != container.Image {
			t.Errorf("got image %s, want %s", got, container.Image)
		}
	})
	t.Run("the namespace takes the operator's Pods and no privileged ones", func(t *testing.T) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "operator", Namespace: operator.Namespace},
			Spec:       *operator.Spec.Template.Spec.DeepCopy(),
		}
		checkError(t, k8s.Create(t.Context(), pod.DeepCopy(), client.DryRunAll), "")

		pod.Spec.Containers[0].SecurityContext.Privileged = new(true)
		pod.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
		checkError(t, k8s.Create(t.Context(), pod, client.DryRunAll), `violates PodSecurity "restricted`)
	})
	t.Run("no user and no group is named", func(t *testing.T) {
		security := operator.Spec.Template.Spec.SecurityContext
		if security.RunAsUser != nil || security.RunAsGroup != nil || security.FSGroup != nil || container.SecurityContext.RunAsUser != nil {
			t.Errorf("got %v and %v, want none", security, container.SecurityContext)
		}
	})
}

// kubectl runs a command that must succeed.
func kubectl(t *testing.T, args ...string) {
	t.Helper()
	if output, err := runKubectl(args...); err != nil {
		t.Errorf("kubectl %v: %v\n%s", args, err, output)
	}
}
