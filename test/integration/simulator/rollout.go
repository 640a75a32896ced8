//go:build integration

package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// rollout is a Deployment with what was made of it.
type rollout struct {
	deployment *appsv1.Deployment
	sets       []appsv1.ReplicaSet
	pods       map[string][]corev1.Pod // by the name of their ReplicaSet
}

func newRollout(deployment *appsv1.Deployment, sets []appsv1.ReplicaSet, pods []corev1.Pod) rollout {
	r := rollout{deployment: deployment, pods: map[string][]corev1.Pod{}}
	for i := range sets {
		if !metav1.IsControlledBy(&sets[i], deployment) {
			continue
		}
		r.sets = append(r.sets, sets[i])
		for j := range pods {
			if metav1.IsControlledBy(&pods[j], &sets[i]) {
				r.pods[sets[i].Name] = append(r.pods[sets[i].Name], pods[j])
			}
		}
	}
	return r
}

// roll takes the next step, as far as the strategy of the Deployment allows: the newest
// ReplicaSet gets Pods, and the others lose theirs.
func (w *Workloads) roll(ctx context.Context, r rollout) error {
	if r.deployment.DeletionTimestamp != nil {
		return nil
	}
	template, err := json.Marshal(r.deployment.Spec.Template)
	if err != nil {
		return fmt.Errorf("encode the template of Deployment %s: %w", r.deployment.Name, err)
	}
	newest := r.deployment.Name + "-" + contract.ShortHash(string(template))
	i := slices.IndexFunc(r.sets, func(set appsv1.ReplicaSet) bool { return set.Name == newest })
	if i < 0 {
		return w.cluster.Admin.Create(ctx, replicaSet(r.deployment, newest))
	}
	more, fewer, err := r.allowed(newest)
	if err != nil {
		return err
	}
	wanted := min(int(*r.deployment.Spec.Replicas), len(alive(r.pods[newest]))+more)
	if err := w.scale(ctx, &r.sets[i], r.pods[newest], wanted); err != nil {
		return err
	}
	for i := range r.sets {
		if r.sets[i].Name == newest {
			continue
		}
		leave := min(fewer, len(alive(r.pods[r.sets[i].Name])))
		fewer -= leave
		if err := w.retire(ctx, &r.sets[i], r.pods[r.sets[i].Name], leave); err != nil {
			return err
		}
	}
	return w.reportRollout(ctx, r, newest)
}

// allowed says how many Pods the newest ReplicaSet may get now, and how many the others may
// lose, by the rules of a rolling update.
func (r rollout) allowed(newest string) (more, fewer int, err error) {
	replicas, strategy := int(*r.deployment.Spec.Replicas), r.deployment.Spec.Strategy.RollingUpdate
	surge, err := intstr.GetScaledValueFromIntOrPercent(strategy.MaxSurge, replicas, true)
	if err != nil {
		return 0, 0, fmt.Errorf("read maxSurge of Deployment %s: %w", r.deployment.Name, err)
	}
	unavailable, err := intstr.GetScaledValueFromIntOrPercent(strategy.MaxUnavailable, replicas, false)
	if err != nil {
		return 0, 0, fmt.Errorf("read maxUnavailable of Deployment %s: %w", r.deployment.Name, err)
	}
	all := 0
	for _, pods := range r.pods {
		all += len(alive(pods))
	}
	unready := len(alive(r.pods[newest])) - int(readyPods(r.pods[newest]))
	return max(0, replicas+surge-all), max(0, all-unready-(replicas-unavailable)), nil
}

// retire takes Pods away from a ReplicaSet that is not the newest; from one that has none,
// the set itself.
func (w *Workloads) retire(ctx context.Context, set *appsv1.ReplicaSet, pods []corev1.Pod, fewer int) error {
	if len(pods) == 0 {
		return w.cluster.Admin.Delete(ctx, set)
	}
	return w.scale(ctx, set, pods, len(alive(pods))-fewer)
}

// alive are the Pods that nobody has told to go.
func alive(pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

func replicaSet(deployment *appsv1.Deployment, name string) *appsv1.ReplicaSet {
	set := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{
		Replicas: deployment.Spec.Replicas, Selector: deployment.Spec.Selector, Template: *deployment.Spec.Template.DeepCopy(),
	}}
	set.Namespace, set.Name, set.Labels = deployment.Namespace, name, deployment.Spec.Template.Labels
	set.OwnerReferences = []metav1.OwnerReference{
		*metav1.NewControllerRef(deployment, appsv1.SchemeGroupVersion.WithKind("Deployment")),
	}
	return set
}

// scale makes Pods that are missing and deletes those that are too many, first those that
// are not ready.
func (w *Workloads) scale(ctx context.Context, set *appsv1.ReplicaSet, pods []corev1.Pod, wanted int) error {
	alive := alive(pods)
	slices.SortStableFunc(alive, func(a, b corev1.Pod) int { return int(readyPods([]corev1.Pod{b})) - int(readyPods([]corev1.Pod{a})) })
	for i := len(alive); i < wanted; i++ {
		w.serial++
		pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
		pod.Namespace, pod.Name = set.Namespace, fmt.Sprintf("%s-%d", set.Name, w.serial)
		pod.Spec.NodeName = "node" // only then a deletion is graceful
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
		if err := w.cluster.Admin.Create(ctx, pod); err != nil {
			return fmt.Errorf("create Pod %s: %w", pod.Name, err)
		}
	}
	for i := len(alive) - 1; i >= wanted; i-- {
		if err := client.IgnoreNotFound(w.cluster.Admin.Delete(ctx, &alive[i])); err != nil {
			return fmt.Errorf("delete Pod %s: %w", alive[i].Name, err)
		}
	}
	return nil
}

// reportRollout writes the status of a Deployment when it changed.
func (w *Workloads) reportRollout(ctx context.Context, r rollout, newest string) error {
	status := appsv1.DeploymentStatus{ObservedGeneration: r.deployment.Generation}
	for name, pods := range r.pods {
		status.Replicas += int32(len(pods)) //nolint:gosec // a handful
		status.ReadyReplicas += readyPods(pods)
		if name == newest {
			status.UpdatedReplicas = int32(len(pods)) //nolint:gosec // a handful
		}
	}
	status.AvailableReplicas = status.ReadyReplicas
	now := r.deployment.Status
	if now.ObservedGeneration == status.ObservedGeneration && now.Replicas == status.Replicas &&
		now.ReadyReplicas == status.ReadyReplicas && now.UpdatedReplicas == status.UpdatedReplicas {
		return nil
	}
	r.deployment.Status = status
	return w.cluster.Admin.Status().Update(ctx, r.deployment)
}

func readyPods(pods []corev1.Pod) int32 {
	ready := int32(0)
	for i := range pods {
		if pods[i].DeletionTimestamp == nil && isReady(&pods[i]) {
			ready++
		}
	}
	return ready
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}
