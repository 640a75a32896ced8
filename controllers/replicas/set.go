package replicas

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Replica is one Pod of a policy server together with what it reports.
type Replica struct {
	// Name is the Pod's name, which is the key of its report.
	Name string
	// Created is when the Pod was made.
	Created time.Time
	// Ready is the Pod's Ready condition. A Pod that terminates is never ready.
	// ReadySince is when that became so, in whole seconds.
	Ready      bool
	ReadySince time.Time
	// Terminating says that the Pod has a deletion timestamp.
	Terminating bool
	// Address is where the replica answers, host:port; "" when the Pod has none yet.
	Address string
	// Lingering says that the replica is Silent, terminates, and goes on to answer: nothing in
	// it closes the connections that API servers have to it.
	Lingering bool
	// Silent says that the replica does not report: Report is then what the Pod was started
	// with.
	Silent bool
	// Report is nil when the replica has none, when it cannot be decoded, or when it was
	// written before the running container started.
	Report *contract.Report
}

// Set is all replicas of one policy server, ordered by name.
type Set []Replica

// NewSet joins the Pods of a policy server with the reports of its replicas, by Pod name.
func NewSet(pods []corev1.Pod, reports map[string]contract.Report) Set {
	set := make(Set, 0, len(pods))
	for i := range pods {
		pod := &pods[i]
		replica := Replica{
			Name:        pod.Name,
			Created:     pod.CreationTimestamp.Time,
			Terminating: pod.DeletionTimestamp != nil,
			Address:     address(pod),
		}
		replica.Silent, replica.Report = reportOf(pod, reports)
		since, ready := readySince(pod)
		switch {
		case ready && !replica.Terminating:
			replica.Ready, replica.ReadySince = true, since
		case ready && replica.Silent:
			replica.Lingering = true
		}
		set = append(set, replica)
	}
	slices.SortFunc(set, func(a, b Replica) int { return cmp.Compare(a.Name, b.Name) })
	return set
}

// reportOf is what is known of what a replica serves. A silent one whose container was
// restarted has read the same files again, or newer ones.
func reportOf(pod *corev1.Pod, reports map[string]contract.Report) (silent bool, report *contract.Report) {
	startedWith, silent, err := render.StartedWith(pod.Annotations)
	if silent && err == nil {
		return true, &startedWith
	}
	written, ok := reports[pod.Name]
	if silent || !ok || !isCurrent(written, pod) {
		return silent, nil
	}
	return false, &written
}

// Ready is the number of ready replicas.
func (s Set) Ready() int32 {
	ready := int32(0)
	for _, replica := range s {
		if replica.Ready {
			ready++
		}
	}
	return ready
}

// address is made of the Pod's own port: that of the PolicyServer may have changed since.
func address(pod *corev1.Pod) string {
	if pod.Status.PodIP == "" {
		return ""
	}
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			if port.Name == render.PortName {
				return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
			}
		}
	}
	return ""
}

func isReady(pod *corev1.Pod) bool {
	_, ready := readySince(pod)
	return ready
}

// readySince is since when a Pod is ready.
func readySince(pod *corev1.Pod) (time.Time, bool) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.LastTransitionTime.Time, condition.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}

// isCurrent says whether a report was written by the process that runs now. A container
// that was restarted in its Pod keeps the Pod's name and thus the key of its predecessor's
// report. Both times are of the node's clock; the kubelet's has whole seconds.
func isCurrent(report contract.Report, pod *corev1.Pod) bool {
	written, err := time.Parse(time.RFC3339Nano, report.StartTime)
	return err == nil && !written.Before(started(pod))
}

// started is when the policy server's container of a Pod started; zero when it does not
// run. Others, such as a sidecar, may come and go without it.
func started(pod *corev1.Pod) time.Time {
	name := contract.ConfigMapName(pod.Labels[render.LabelPolicyServer])
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		if status.Name == name && status.State.Running != nil {
			return status.State.Running.StartedAt.Truncate(time.Second)
		}
	}
	return time.Time{}
}
