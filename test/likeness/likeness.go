package likeness

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Life is what is seen of a life, in order.
const Life = `created: 2 Pods, all ready, owned by ReplicaSet, Deployment and PolicyServer; one report for each
created: 2 replicas, 2 updated, 2 ready, 2 available
template changed: 2 Pods, all ready, owned by ReplicaSet, Deployment and PolicyServer; one report for each
template changed: 2 replicas, 2 updated, 2 ready, 2 available
template changed: 0 Pods of before, of 1 ReplicaSet with Pods; never fewer than 2 that had been ready
Pod deleted: 2 Pods, all ready, owned by ReplicaSet, Deployment and PolicyServer; one report for each
Pod deleted: 2 replicas, 2 updated, 2 ready, 2 available
Pod deleted: 1 Pods of before, of 1 ReplicaSet with Pods; never fewer than 1 that had been ready
scaled to 0: 0 Pods, all ready, owned by ReplicaSet, Deployment and PolicyServer; one report for each
scaled to 0: 0 replicas, 0 updated, 0 ready, 0 available
scaled to 1: 1 Pods, all ready, owned by ReplicaSet, Deployment and PolicyServer; one report for each
scaled to 1: 1 replicas, 1 updated, 1 ready, 1 available
deleted: nothing is left
`

// Stage is where a life takes place.
type Stage struct {
	// Client may read and write everything.
	Client client.Client
	// Namespace is the operator's.
	Namespace string
	// Server is created with two replicas. Nobody else changes it.
	Server *policiesv1.PolicyServer
	// Patience is how long each step may take.
	Patience time.Duration
	// Log is told of every loss of a replica that had been ready.
	Log func(format string, args ...any)
}

// Play goes through the life and tells what was seen of it.
func (s Stage) Play(ctx context.Context) (string, error) {
	var seen strings.Builder
	note := func(facts ...string) {
		for _, fact := range facts {
			seen.WriteString(fact + "\n")
		}
	}
	s.Server.Spec.Replicas = new(int32(2))
	if err := s.Client.Create(ctx, s.Server); err != nil {
		return "", err
	}
	for _, step := range []struct {
		name     string
		do       func(context.Context, []corev1.Pod) error
		compares bool
	}{
		{"created", func(context.Context, []corev1.Pod) error { return nil }, false},
		{"template changed", s.edit(`{"spec":{"annotations":{"example.com/life":"changed"}}}`), true},
		{"Pod deleted", func(ctx context.Context, before []corev1.Pod) error { return s.Client.Delete(ctx, &before[0]) }, true},
		{"scaled to 0", s.edit(`{"spec":{"replicas":0}}`), false},
		{"scaled to 1", s.edit(`{"spec":{"replicas":1}}`), false},
	} {
		before, err := s.pods(ctx)
		if err != nil {
			return seen.String(), err
		}
		if err := step.do(ctx, before); err != nil {
			return seen.String(), fmt.Errorf("%s: %w", step.name, err)
		}
		facts, err := s.settle(ctx, before, step.compares)
		if err != nil {
			return seen.String(), fmt.Errorf("%s: %w", step.name, err)
		}
		for _, fact := range facts {
			note(step.name + ": " + fact)
		}
	}
	if err := s.Client.Delete(ctx, s.Server); err != nil {
		return seen.String(), err
	}
	err := s.within(ctx, s.nothingLeft)
	note("deleted: nothing is left")
	return seen.String(), err
}

func (s Stage) edit(patch string) func(context.Context, []corev1.Pod) error {
	return func(ctx context.Context, _ []corev1.Pod) error {
		return s.Client.Patch(ctx, s.Server, client.RawPatch(types.MergePatchType, []byte(patch)))
	}
}

// settle waits until the Deployment says that it is done and the Pods are those that it says,
// and gives the facts.
func (s Stage) settle(ctx context.Context, before []corev1.Pod, compares bool) (facts []string, err error) {
	fewest, once := len(before), map[types.UID]bool{}
	wereReady(before, once)
	err = s.within(ctx, func(ctx context.Context) error {
		pods, err := s.pods(ctx)
		if err != nil {
			return err
		}
		if here := wereReady(pods, once); here < fewest {
			fewest = here
			s.Log("%d were ready and are not being deleted%s", here, describe(pods))
		}
		facts, err = s.look(ctx, pods)
		if err != nil || !compares {
			return err
		}
		left, sets := 0, map[string]bool{}
		for _, pod := range pods {
			if slices.ContainsFunc(before, func(old corev1.Pod) bool { return old.UID == pod.UID }) {
				left++
			}
			sets[pod.OwnerReferences[0].Name] = true
		}
		if left == len(before) {
			return fmt.Errorf("all Pods are those of before")
		}
		facts = append(facts, fmt.Sprintf("%d Pods of before, of %d ReplicaSet with Pods; never fewer than %d that had been ready", left, len(sets), fewest))
		return nil
	})
	return facts, err
}

// wereReady counts the Pods that have been ready and that nobody has told to go, and keeps in
// once which have been. A Pod that is taken for unready for a moment, as on a node that is
// busy, still counts: this is about who is told to go when.
func wereReady(pods []corev1.Pod, once map[types.UID]bool) (count int) {
	for _, pod := range pods {
		once[pod.UID] = once[pod.UID] || answers(pod)
		if once[pod.UID] && pod.DeletionTimestamp == nil {
			count++
		}
	}
	return count
}

// describe says of each Pod what tells why it does not answer.
func describe(pods []corev1.Pod) string {
	var text strings.Builder
	for _, pod := range pods {
		fmt.Fprintf(&text, "; Pod %s: %s", pod.Name, pod.Status.Phase)
		if pod.DeletionTimestamp != nil {
			text.WriteString(", being deleted")
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady {
				fmt.Fprintf(&text, ", ready: %s since %s %s %s", condition.Status, condition.LastTransitionTime.Format(time.TimeOnly), condition.Reason, condition.Message)
			}
		}
		for _, container := range pod.Status.ContainerStatuses {
			fmt.Fprintf(&text, ", %d restarts", container.RestartCount)
		}
	}
	return text.String()
}

func answers(pod corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// look gives the facts of a Deployment at rest; the error is what keeps it from resting.
func (s Stage) look(ctx context.Context, pods []corev1.Pod) ([]string, error) {
	if err := s.Client.Get(ctx, client.ObjectKeyFromObject(s.Server), s.Server); err != nil {
		return nil, err
	}
	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: s.Namespace, Name: contract.ConfigMapName(s.Server.Name)}
	if err := s.Client.Get(ctx, key, deployment); err != nil {
		return nil, err
	}
	wanted, status := *s.Server.Spec.Replicas, deployment.Status
	switch {
	case deployment.Spec.Replicas == nil || *deployment.Spec.Replicas != wanted:
		return nil, fmt.Errorf("the Deployment does not want %d replicas", wanted)
	case deployment.Spec.Template.Annotations["example.com/life"] != s.Server.Spec.Annotations["example.com/life"]:
		return nil, fmt.Errorf("the Deployment has the template of before")
	case status.ObservedGeneration != deployment.Generation, status.Replicas != wanted, status.UpdatedReplicas != wanted, status.AvailableReplicas != wanted, len(pods) != int(wanted):
		return nil, fmt.Errorf("the Deployment is at %+v of generation %d, with %d Pods", status, deployment.Generation, len(pods))
	}
	for _, pod := range pods {
		if !answers(pod) {
			return nil, fmt.Errorf("replica %s is not ready", pod.Name)
		}
		if err := s.ownedBy(ctx, pod, deployment); err != nil {
			return nil, err
		}
	}
	if err := s.reported(ctx, pods); err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("%d Pods, all ready, owned by ReplicaSet, Deployment and PolicyServer; one report for each", len(pods)),
		fmt.Sprintf("%d replicas, %d updated, %d ready, %d available", status.Replicas, status.UpdatedReplicas, status.ReadyReplicas, status.AvailableReplicas),
	}, nil
}

// ownedBy complains unless a Pod is a ReplicaSet's of the Deployment of the server.
func (s Stage) ownedBy(ctx context.Context, pod corev1.Pod, deployment *appsv1.Deployment) error {
	set := &appsv1.ReplicaSet{}
	owner := metav1.GetControllerOf(&pod)
	if owner == nil {
		return fmt.Errorf("replica %s has no controller", pod.Name)
	}
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: owner.Name}, set); err != nil {
		return err
	}
	if owner.UID != set.UID || !metav1.IsControlledBy(set, deployment) || !metav1.IsControlledBy(deployment, s.Server) {
		return fmt.Errorf("replica %s is not of the PolicyServer", pod.Name)
	}
	return nil
}

// reported complains unless there is a report of each Pod and no other.
func (s Stage) reported(ctx context.Context, pods []corev1.Pod) error {
	reports := &corev1.ConfigMap{}
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: contract.ReportConfigMapName(s.Server.Name)}, reports); err != nil {
		return err
	}
	if len(reports.Data)+len(reports.BinaryData) != len(pods) {
		return fmt.Errorf("there are %d reports of %d Pods", len(reports.Data)+len(reports.BinaryData), len(pods))
	}
	for _, pod := range pods {
		if reports.Data[pod.Name] == "" && len(reports.BinaryData[pod.Name]) == 0 {
			return fmt.Errorf("there is no report of Pod %s", pod.Name)
		}
	}
	return nil
}

func (s Stage) pods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := s.Client.List(ctx, &pods, s.own()...)
	return pods.Items, err
}

// own selects what was made for the server.
func (s Stage) own() []client.ListOption {
	return []client.ListOption{client.InNamespace(s.Namespace), client.MatchingLabels{"kubewarden/policy-server": s.Server.Name}}
}

func (s Stage) nothingLeft(ctx context.Context) error {
	switch err := s.Client.Get(ctx, client.ObjectKeyFromObject(s.Server), s.Server); {
	case err == nil:
		return fmt.Errorf("the PolicyServer stays, with finalizers %v", s.Server.Finalizers)
	case !apierrors.IsNotFound(err):
		return err
	}
	for _, list := range []client.ObjectList{
		&appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{},
		&corev1.SecretList{}, &corev1.ServiceAccountList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
		&policyv1.PodDisruptionBudgetList{}, &networkingv1.NetworkPolicyList{},
	} {
		if err := s.Client.List(ctx, list, s.own()...); err != nil {
			return err
		}
		if left := apimeta.LenList(list); left > 0 {
			return fmt.Errorf("there are %d left of %T", left, list)
		}
	}
	return nil
}

// within asks again and again until there is nothing to complain about.
func (s Stage) within(ctx context.Context, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, s.Patience, true, func(ctx context.Context) (bool, error) {
		complaint := check(ctx)
		if ctx.Err() == nil {
			last = complaint // and not that the time is over
		}
		return complaint == nil, nil
	})
	if err != nil {
		return fmt.Errorf("not within %s: %w", s.Patience, cmp.Or(last, err))
	}
	return nil
}
