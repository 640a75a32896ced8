//go:build e2e

package e2e

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Traffic is bounded: so many admissions a second, never longer than a while, and never more
// than so many at once.
const (
	trafficRate       = 200
	trafficLimit      = 4 * time.Minute
	trafficConcurrent = 400
)

// traffic asks the API server, over and over, to create Pods that a policy must admit and
// Pods that it must deny. Nothing is kept.
type traffic struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mutex     sync.Mutex
	latencies []time.Duration
	failures  []failedAdmission
	unsent    int
}

// failedAdmission is an admission that ended otherwise than the policy says.
type failedAdmission struct {
	at   time.Time
	text string
}

// startTraffic begins at once. The Pods are in a namespace in which container-limits allows no
// more than deniedAbove.
func startTraffic(t *testing.T, namespace string) *traffic {
	t.Helper()
	config, err := ctrl.GetConfig()
	if err != nil {
		t.Fatal(err)
	}
	// Load never leaves the machine: what runs here is small, and nobody else's.
	if server, err := url.Parse(config.Host); err != nil || !net.ParseIP(server.Hostname()).IsLoopback() {
		t.Fatalf("the API server is at %s; these tests want one on the loopback interface", config.Host)
	}
	config.QPS = -1
	sender, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), trafficLimit)
	load := &traffic{cancel: cancel}
	load.running.Go(func() { load.send(ctx, sender, namespace) })
	t.Cleanup(func() {
		cancel()
		load.running.Wait()
	})
	return load
}

func (l *traffic) send(ctx context.Context, sender client.Client, namespace string) {
	ticker := time.NewTicker(time.Second / trafficRate)
	defer ticker.Stop()
	places := make(chan struct{}, trafficConcurrent)
	for count := 0; ; count++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case places <- struct{}{}:
		default:
			l.mutex.Lock()
			l.unsent++
			l.mutex.Unlock()
			continue
		}
		l.running.Go(func() {
			defer func() { <-places }()
			l.admit(sender, namespace, count%2 == 0)
		})
	}
}

// admit sends one Pod and holds the answer against what it must be.
func (l *traffic) admit(sender client.Client, namespace string, allowed bool) {
	pod, want := limited(namespace, allowedLimit), ""
	if !allowed {
		pod, want = limited(namespace, deniedLimit), "cpu limit "+deniedLimit+" is above"
	}
	// A request that was begun is ended, also when the traffic is.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	err := sender.Create(ctx, pod, client.DryRunAll)
	took, text := time.Since(begin), ""
	switch {
	case allowed && err != nil:
		text = "not admitted: " + err.Error()
	case !allowed && err == nil:
		text = "admitted, but to be denied"
	case !allowed && !strings.Contains(err.Error(), want):
		text = "denied for another reason: " + err.Error()
	}
	l.note(begin, took, text)
}

func (l *traffic) note(at time.Time, took time.Duration, failure string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if failure != "" {
		l.failures = append(l.failures, failedAdmission{at, failure})
		return
	}
	l.latencies = append(l.latencies, took)
}

// stop ends the traffic, says how it went and gives what failed.
func (l *traffic) stop(t *testing.T) []failedAdmission {
	t.Helper()
	l.cancel()
	l.running.Wait()
	slices.Sort(l.latencies)
	if len(l.latencies) == 0 {
		t.Fatal("no admission succeeded")
	}
	percentile := func(of int) time.Duration {
		return l.latencies[(len(l.latencies)-1)*of/100].Round(100 * time.Microsecond)
	}
	t.Logf("%d admissions, %d failed; p50 %s, p99 %s, longest %s; %d were not sent while %d waited for the machine",
		len(l.latencies)+len(l.failures), len(l.failures), percentile(50), percentile(99), percentile(100), l.unsent, trafficConcurrent)
	return l.failures
}

// stopWithoutFailure ends the traffic and fails the test if an admission did.
func (l *traffic) stopWithoutFailure(t *testing.T) {
	t.Helper()
	failures := l.stop(t)
	for i, failure := range failures {
		if i == 10 {
			t.Errorf("and %d more", len(failures)-i)
			return
		}
		t.Errorf("%s: %s", failure.at.Format(time.StampMilli), failure.text)
	}
}

// Limits of the Pods, and that of the policy: what is between can be set without a change of
// any verdict.
const (
	allowedLimit = "100m"
	deniedLimit  = "8"
)

// limited is a Pod with a limit on CPU.
func limited(namespace, cpu string) *corev1.Pod {
	pod := newPod(namespace)
	pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	return pod
}
