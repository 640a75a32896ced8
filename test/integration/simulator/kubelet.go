//go:build integration

package simulator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// drain is how long a process that is told to stop goes on.
const drain = 300 * time.Millisecond

// kubelet runs a process in every Pod.
type kubelet struct {
	cluster   *Cluster
	clients   map[string]client.Client        // by ServiceAccount
	processes map[string]*process             // by Pod
	served    map[string]map[string]time.Time // by server or Pod, then by the policy's UID: since when
	away      bool
}

func newKubelet(cluster *Cluster) kubelet {
	return kubelet{
		cluster: cluster, clients: map[string]client.Client{},
		processes: map[string]*process{}, served: map[string]map[string]time.Time{},
	}
}

// pods takes the next step with every Pod.
func (w *Workloads) pods(ctx context.Context) error {
	k := &w.kubelet
	var pods corev1.PodList
	if err := k.cluster.Admin.List(ctx, &pods, client.InNamespace(Namespace), client.HasLabels{render.LabelPolicyServer}); err != nil {
		return fmt.Errorf("list Pods: %w", err)
	}
	var maps corev1.ConfigMapList
	if err := k.cluster.Admin.List(ctx, &maps, client.InNamespace(Namespace)); err != nil {
		return fmt.Errorf("list ConfigMaps: %w", err)
	}
	byName := map[string]*corev1.ConfigMap{}
	for i := range maps.Items {
		byName[maps.Items[i].Name] = &maps.Items[i]
	}
	alive := map[string]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		alive[pod.Name] = true
		if err := k.tend(ctx, pod, byName); unlessOvertaken(err) != nil {
			return fmt.Errorf("tend Pod %s: %w", pod.Name, err)
		}
	}
	for name := range k.processes {
		if !alive[name] {
			delete(k.processes, name)
		}
	}
	return nil
}

// tend starts the process of a Pod, lets it work, tells whether it is ready, and ends it.
func (k *kubelet) tend(ctx context.Context, pod *corev1.Pod, configMaps map[string]*corev1.ConfigMap) error {
	p := k.processes[pod.Name]
	if p == nil || p.uid != pod.UID {
		p = &process{kubelet: k, server: pod.Labels[render.LabelPolicyServer], pod: pod.Name, uid: pod.UID}
		k.processes[pod.Name] = p
	}
	if pod.DeletionTimestamp != nil {
		if p.told.IsZero() {
			p.told = time.Now()
		}
		if time.Since(p.told) < drain {
			return nil
		}
		return k.cluster.Admin.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	}
	if p.replica == nil {
		return k.start(ctx, p, pod, configMaps)
	}
	if err := p.work(ctx, configMaps); err != nil {
		return err
	}
	return k.probe(ctx, p, pod)
}

// start starts a process, and says when.
func (k *kubelet) start(ctx context.Context, p *process, pod *corev1.Pod, configMaps map[string]*corev1.ConfigMap) error {
	mounted := configMaps[mountedPolicies(pod)]
	if mountedPolicies(pod) != "" && mounted == nil {
		return nil // until there is something to mount
	}
	account := pod.Spec.ServiceAccountName
	if k.clients[account] == nil {
		made, err := k.cluster.Client(k.cluster.As(account))
		if err != nil {
			return err
		}
		k.clients[account] = made
	}
	now := metav1.Now()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: now}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  pod.Spec.Containers[0].Name,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}}
	if err := k.cluster.Admin.Status().Update(ctx, pod); err != nil {
		return err
	}
	p.begin(NewReplica(k.clients[account], p.server, p.pod))
	p.silent = mounted != nil
	if !p.silent {
		return nil
	}
	configuration, err := decodeConfiguration(mounted)
	if err != nil {
		return err
	}
	return p.readOnce(configuration)
}

// mountedPolicies is the ConfigMap of which a Pod mounts the policies as a file; "" for none.
func mountedPolicies(pod *corev1.Pod) string {
	for i := range pod.Spec.Volumes {
		configMap := pod.Spec.Volumes[i].ConfigMap
		if configMap == nil {
			continue
		}
		for _, item := range configMap.Items {
			if item.Key == contract.KeyPolicies {
				return configMap.Name
			}
		}
	}
	return ""
}

// probe tells whether a process is ready when that has changed.
func (k *kubelet) probe(ctx context.Context, p *process, pod *corev1.Pod) error {
	if isReady(pod) == p.ready {
		return nil
	}
	status := corev1.ConditionFalse
	if p.ready {
		status = corev1.ConditionTrue
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()}}
	if err := k.cluster.Admin.Status().Update(ctx, pod); err != nil {
		return err
	}
	p.readySince = time.Now()
	return nil
}

// states are copies of what the processes of a server are; "" stands for all servers.
func (k *kubelet) states(server string) []State {
	var states []State
	for _, name := range slices.Sorted(maps.Keys(k.processes)) {
		if p := k.processes[name]; server == "" || p.server == server {
			states = append(states, p.state())
		}
	}
	return states
}

// FirstServed is when a process of a server, or the one in a Pod, served the policy of that
// UID for the first time; false when none did.
func (w *Workloads) FirstServed(serverOrPod, uid string) (time.Time, bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	first, ok := w.kubelet.served[serverOrPod][uid]
	return first, ok
}

// serve notes that a process is about to say that it serves a policy.
func (k *kubelet) serve(p *process, uid string) {
	for _, who := range []string{p.server, p.pod} {
		if k.served[who] == nil {
			k.served[who] = map[string]time.Time{}
		}
		if _, known := k.served[who][uid]; !known {
			k.served[who][uid] = time.Now()
		}
	}
}
