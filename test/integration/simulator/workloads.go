//go:build integration

package simulator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// pace is how often everything is looked at.
	pace = 100 * time.Millisecond
	// collectEvery is how many looks pass from one collection of garbage to the next.
	collectEvery = 3
)

// Workloads plays what makes Pods of Deployments, runs them and collects what no owner is
// left of. The processes in the Pods read their configuration and report by themselves.
type Workloads struct {
	cluster *Cluster

	mutex   sync.Mutex
	kubelet kubelet
	serial  int // of the names of Pods
	stop    func() error
	looks   int
	paused  bool
}

// NewWorkloads plays in a cluster, once it is started.
func NewWorkloads(cluster *Cluster) *Workloads {
	return &Workloads{cluster: cluster, kubelet: newKubelet(cluster)}
}

// Start begins to play, in the background.
func (w *Workloads) Start() {
	w.stop = w.cluster.run(func(ctx context.Context) error {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			if err := w.look(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	})
}

// Pause halts the play, or lets it go on.
func (w *Workloads) Pause(pause bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.paused = pause
}

// Stop ends the play; the error is what ended it before.
func (w *Workloads) Stop() error { return w.stop() }

// look takes every controller's next step. What somebody else was faster with is looked at
// again.
func (w *Workloads) look(ctx context.Context) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.paused {
		return nil
	}
	w.looks++
	steps := []func(context.Context) error{w.deployments, w.pods}
	if w.looks%collectEvery == 0 {
		steps = append(steps, w.collect)
	}
	for _, step := range steps {
		if err := step(ctx); unlessOvertaken(err) != nil {
			return err
		}
	}
	return nil
}

// unlessOvertaken drops the errors of a write that somebody else came before.
func unlessOvertaken(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// deployments makes of every Deployment the ReplicaSets and of those the Pods.
func (w *Workloads) deployments(ctx context.Context) error {
	var deployments appsv1.DeploymentList
	var sets appsv1.ReplicaSetList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&deployments, &sets, &pods} {
		if err := w.cluster.Admin.List(ctx, list, client.InNamespace(Namespace)); err != nil {
			return fmt.Errorf("list %T: %w", list, err)
		}
	}
	var failures error
	for i := range deployments.Items {
		rollout := newRollout(&deployments.Items[i], sets.Items, pods.Items)
		if deployments.Items[i].Name == ServiceAccount {
			continue // the operator's own runs in this process
		}
		failures = errors.Join(failures, unlessOvertaken(w.roll(ctx, rollout)))
	}
	return failures
}

// Replicas are the processes of a policy server as they are now; "" stands for all servers.
func (w *Workloads) Replicas(server string) []State {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.kubelet.states(server)
}

// Cut cuts a replica off from the API server, or lets it be reached again. The kubelet still
// reaches it, so it stays as ready as it is.
func (w *Workloads) Cut(pod string, cut bool) {
	w.change(pod, func(p *process) { p.cut = cut })
}

// Restart kills the process in a Pod; the kubelet starts another in its place.
func (w *Workloads) Restart(pod string) {
	w.change(pod, func(p *process) { p.replica = nil })
}

func (w *Workloads) change(pod string, edit func(*process)) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if process, ok := w.kubelet.processes[pod]; ok {
		edit(process)
	}
}

// Away takes the source of all modules away, or brings it back.
func (w *Workloads) Away(away bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.kubelet.away = away
}
