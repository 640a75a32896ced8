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
// than so many at once. On a machine that is too busy for that rate, what is due waits for an
// answer to what was sent; below the least share of the rate, it was no traffic.
const (
	trafficRate       = 200
	trafficLimit      = 10 * time.Minute
	trafficConcurrent = 100
	trafficLeastShare = 0.5
)

// traffic asks the API server, over and over, to create Pods with a small limit and Pods with
// a large one. Nothing is kept but the answers.
type traffic struct {
	ctx     context.Context //nolint:containedctx // tells whether the traffic ended before it was stopped
	cancel  context.CancelFunc
	running sync.WaitGroup

	mutex   sync.Mutex
	answers []answer
	unsent  int
}

// answer is what became of one admission.
type answer struct {
	begin, end time.Time
	// limit is the Pod's.
	limit string
	err   error
}

// judge says what is wrong with an answer, nothing if it is right.
type judge func(answer) string

// failedAdmission is an admission that ended otherwise than the policy says.
type failedAdmission struct {
	answer
	text string
}

// startTraffic begins at once, with Pods of one namespace.
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
	load := &traffic{ctx: ctx, cancel: cancel}
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
	limits := []string{smallLimit, largeLimit}
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
			l.admit(sender, namespace, limits[count%len(limits)])
		})
	}
}

// admit sends one Pod and notes the answer.
func (l *traffic) admit(sender client.Client, namespace, limit string) {
	// A request that was begun is ended, also when the traffic is.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	err := sender.Create(ctx, limited(namespace, limit), client.DryRunAll)
	end := time.Now()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.answers = append(l.answers, answer{begin: begin, end: end, limit: limit, err: err})
}

// asEver wants Pods with the small limit admitted and those with the large one denied.
func asEver(a answer) string { return a.mustBe(a.limit == smallLimit) }

// mustBe says what is wrong with an answer that must admit, or must deny for the policy's
// reason.
func (a answer) mustBe(admitted bool) string {
	switch {
	case admitted && a.err != nil:
		return "not admitted: " + a.err.Error()
	case !admitted && a.err == nil:
		return "admitted, but to be denied"
	case !admitted && !strings.Contains(a.err.Error(), "cpu limit "+a.limit+" is above"):
		return "denied for another reason: " + a.err.Error()
	}
	return ""
}

// stop ends the traffic, says how it went and gives what failed.
func (l *traffic) stop(t *testing.T, wrong judge) []failedAdmission {
	t.Helper()
	if l.ctx.Err() != nil {
		t.Errorf("traffic ends after %s, before what it was to go along with", trafficLimit)
	}
	l.cancel()
	l.running.Wait()
	var failures []failedAdmission
	var latencies []time.Duration
	for _, a := range l.answers {
		if text := wrong(a); text != "" {
			failures = append(failures, failedAdmission{a, text})
			continue
		}
		latencies = append(latencies, a.end.Sub(a.begin))
	}
	if len(latencies) == 0 {
		t.Fatal("no admission succeeded")
	}
	slices.Sort(latencies)
	percentile := func(of int) time.Duration {
		return latencies[(len(latencies)-1)*of/100].Round(100 * time.Microsecond)
	}
	t.Logf("%d admissions, %d failed; p50 %s, p99 %s, longest %s",
		len(l.answers), len(failures), percentile(50), percentile(99), percentile(100))
	if share := float64(len(l.answers)) / float64(len(l.answers)+l.unsent); share < 1 {
		t.Logf("%.0f%% of %d a second: %d were not sent, because %d others had no answer yet", 100*share, trafficRate, l.unsent, trafficConcurrent)
		if share < trafficLeastShare {
			t.Errorf("the machine was too busy for traffic of %d a second", trafficRate)
		}
	}
	return failures
}

// stopWithoutFailure ends the traffic and fails the test if an answer is wrong.
func (l *traffic) stopWithoutFailure(t *testing.T, wrong judge) {
	t.Helper()
	failures := l.stop(t, wrong)
	for i, failure := range failures {
		if i == 10 {
			t.Errorf("and %d more", len(failures)-i)
			return
		}
		t.Errorf("%s, after %s: %s", failure.begin.Format(time.StampMilli), failure.end.Sub(failure.begin), failure.text)
	}
}

// Limits of the Pods: what is between can be set without a change of any verdict.
const (
	smallLimit = "100m"
	largeLimit = "8"
)

// limited is a Pod with a limit on CPU.
func limited(namespace, cpu string) *corev1.Pod {
	pod := newPod(namespace)
	pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	return pod
}
