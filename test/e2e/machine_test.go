//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// registryAway is a way in which the cluster's registry is not there.
type registryAway struct {
	// how completes "the registry ...".
	how          string
	leave, enter syscall.Signal
}

var (
	// Whoever connects to a process that is stopped gets no answer.
	registryHangs = registryAway{"hangs", syscall.SIGSTOP, syscall.SIGCONT}
	// The registry stops listening at the first of these signals, and begins again at the
	// second.
	registryRefuses = registryAway{"refuses connections", syscall.SIGUSR1, syscall.SIGUSR2}
)

// loseRegistry takes the cluster's registry away until it is told to bring it back, at the
// latest at the end of the test.
func loseRegistry(t *testing.T, away registryAway) (bringBack func()) {
	t.Helper()
	pid := processWith(t, "registry-serve", "")
	signal := func(signal syscall.Signal) {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Errorf("send %s to the registry: %v", signal, err)
		}
	}
	signal(away.leave)
	t.Cleanup(func() { signal(away.enter) })
	if away == registryRefuses {
		gomega.NewWithT(t).Eventually(func() error {
			connection, err := net.DialTimeout("tcp", os.Getenv("KUBEWARDEN_REGISTRY"), time.Second)
			if err == nil {
				err = connection.Close()
			}
			return err
		}).WithTimeout(promptly).Should(gomega.MatchError(syscall.ECONNREFUSED))
	}
	return func() { signal(away.enter) }
}

// rollOutWithoutRegistry rolls the server of the traffic out while the registry is away: no
// new replica may be ready before it is back.
func rollOutWithoutRegistry(t *testing.T, away registryAway) {
	t.Helper()
	g := gomega.NewWithT(t)
	before := replicasOf(t, trafficServer)
	bringBack := loseRegistry(t, away)
	rollOut(t)
	g.Eventually(func() int { return len(replicasOf(t, trafficServer)) }).WithTimeout(time.Minute).
		Should(gomega.BeNumerically(">", len(before)), "the roll-out begins")
	g.Consistently(func(g gomega.Gomega) {
		for _, pod := range replicasOf(t, trafficServer) {
			isNew := !slices.ContainsFunc(before, func(old corev1.Pod) bool { return old.UID == pod.UID })
			g.Expect(isNew && isReady(pod)).To(gomega.BeFalse(), "%s has no module and is ready", pod.Name)
		}
	}).WithTimeout(10 * time.Second).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
	bringBack()
	eventuallyReplaced(t, trafficServer, before, 2)
}

// kill sends SIGKILL to the process of a replica.
func kill(t *testing.T, pod corev1.Pod) {
	t.Helper()
	pid := processWith(t, "policy-server", "KUBEWARDEN_REPLICA="+pod.Name)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the process of Pod %s: %v", pod.Name, err)
	}
}

// inCluster runs a command of the program that the cluster is made by.
func inCluster(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	if output, err := exec.CommandContext(ctx, "../../bin/cluster", args...).CombinedOutput(); err != nil {
		t.Fatalf("cluster %v: %v\n%s", args, err, output)
	}
}

// processWith finds the process of this machine whose first argument is a command, with a
// variable in its environment.
func processWith(t *testing.T, command, variable string) int {
	t.Helper()
	pid, runs := findProcess(t, command, variable)
	if !runs {
		t.Fatalf("no process on this machine runs %s %s; these tests want the node to be here", command, variable)
	}
	return pid
}

func findProcess(t *testing.T, command, variable string) (pid int, runs bool) {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		arguments, _ := os.ReadFile(filepath.Join(folder, "cmdline")) // it may have ended
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		fields := bytes.Split(arguments, []byte{0})
		if len(fields) < 2 || string(fields[1]) != command {
			continue
		}
		if variable != "" && !bytes.Contains(append(environment, 0), []byte(variable+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			t.Fatal(err)
		}
		return pid, true
	}
	return 0, false
}
