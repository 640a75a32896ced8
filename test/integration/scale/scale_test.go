//go:build integration

package scale

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/record"
)

var (
	sizesFlag = flag.String("sizes", "8x1,32x1", "installations to compare with the first, each as policies x servers")
	limitFlag = flag.Float64("limit", 2, "how many times the work for a policy of the first one the others may take")
	fileFlag  = flag.String("file", "", "where the result is written; empty for nowhere")
	restFlag  = flag.Duration("rest", 3*time.Second, "how long nothing at all must be done in the end")
)

// changes is how many policies are changed, one after the other, whatever the size.
const changes = 5

// TestWorkGrowsLinearlyWithPolicies makes installations of several sizes. What the operator
// does for one policy while all are created, changed, read by a new operator and deleted must
// not depend on how many others there are, in the installation or on the same server.
//
// The second installation has four times as many policies as the first, all on one server: work
// that grows with their number would be four times as much for each. The default limit is well
// below that and well above one: few policies are counted, and how many events one reconcile
// answers depends on who is faster. With hundreds this evens out, so `make scale` allows 1.3.
func TestWorkGrowsLinearlyWithPolicies(t *testing.T) {
	sizes, err := parseSizes(*sizesFlag)
	if err != nil {
		t.Fatal(err)
	}
	found := &result{Limit: *limitFlag, RestSeconds: restFlag.Seconds()}
	for _, size := range sizes {
		if !t.Run(size.String(), func(t *testing.T) { found.Sizes = append(found.Sizes, measure(t, size)) }) {
			return
		}
	}
	t.Log("\n" + found.table())
	if err := record.Write(*fileFlag, found); err != nil {
		t.Error(err)
	}
	for _, complaint := range found.check() {
		t.Error(complaint)
	}
}

// measure lives through the life of an installation.
func measure(t *testing.T, size size) figures {
	t.Helper()
	begin := time.Now()
	in := install(t, size)
	f := figures{Policies: size.policies, Servers: size.servers, Phases: map[string]phase{}}
	before := in.rests(t, calm)
	during := func(name string, objects int, work func()) {
		t.Helper()
		start := time.Now()
		work()
		after := in.rests(t, calm)
		f.Phases[name] = phase{Objects: objects, Seconds: time.Since(start).Seconds(), counts: after.since(before)}
		before = after
	}
	during(phaseCreate, size.policies, func() { in.fill(t) })
	during(phaseChange, changes, func() { in.change(t, changes) })
	during(phaseRestart, size.policies, func() {
		f.Heap = in.memory(t)
		if err := in.StartOperator(); err != nil {
			t.Fatal(err)
		}
		in.knowsAll(t, before)
	})
	in.rests(t, *restFlag)
	during(phaseDelete, size.policies, func() { in.empty(t) })
	f.Seconds = time.Since(begin).Seconds()
	return f
}

func parseSizes(text string) ([]size, error) {
	var sizes []size
	for part := range strings.SplitSeq(text, ",") {
		var one size
		if _, err := fmt.Sscanf(part, "%dx%d", &one.policies, &one.servers); err != nil {
			return nil, fmt.Errorf("size %q is not policies x servers: %w", part, err)
		}
		sizes = append(sizes, one)
	}
	return sizes, nil
}
