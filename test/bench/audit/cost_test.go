//go:build integration

package audit

import (
	"flag"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child/childtest"
	"github.com/kubewarden/kubewarden-operator/test/bench/record"
)

var (
	objectsFlag    = flag.Int("objects", 400, "how many objects there are to scan")
	namespacesFlag = flag.Int("namespaces", 8, "how many namespaces they are in")
	binaryFlag     = flag.String("binary", "", "the program that is measured; empty to build it")
	fileFlag       = flag.String("file", "", "where the result is written; empty for nowhere")
)

// TestWhatAnAuditCosts scans one cluster three times.
func TestWhatAnAuditCosts(t *testing.T) {
	binary := childtest.Program(t, root, *binaryFlag)
	c := newCluster(t)
	p := policies(t)
	c.install(t, p)
	world := newWorld(t, c, *objectsFlag, *namespacesFlag)
	server := startServer(t, binary, p)
	scanner := newScanner(t, binary, c, server)

	found := &result{Objects: len(world.objects), Policies: len(p), Questions: world.questions(p)}
	without := startFloor(t)
	before := without.measure(t)
	found.First = measure(t, c, server, scanner)
	found.Floor = bareOf(before.Add(without.measure(t)))
	found.EtcdPerThousandPods = 1000 * c.reportsOf(t, "Pod").mean()
	if reports := c.reportsOf(t, "").count; reports != found.Objects {
		t.Errorf("there are %d reports of %d objects", reports, found.Objects)
	}
	found.Unchanged = measure(t, c, server, scanner)
	for _, number := range world.change(t, c) {
		found.Changed++
		found.ChangedQuestions += questions(number, p)
	}
	found.OnePercent = measure(t, c, server, scanner)

	found.Ways = sample{c, server, *namespacesFlag}.compare(t)

	t.Log("\n" + found.table())
	if err := record.Write(*fileFlag, found); err != nil {
		t.Error(err)
	}
	for _, complaint := range found.check() {
		t.Error(complaint)
	}
}

// measure scans once.
func measure(t *testing.T, c *cluster, server *server, scanner *scanner) figures {
	t.Helper()
	evaluations, writes := server.evaluations(t), c.writes(t)
	serverCPU, clusterCPU := server.cpu(t), c.cpu(t)
	started := time.Now()
	took, summary := scanner.run(t)
	f := figures{
		Seconds:     time.Since(started).Seconds(),
		CPU:         processors{Scanner: took.cpu, PolicyServer: server.cpu(t) - serverCPU, APIServer: c.cpu(t) - clusterCPU},
		Evaluations: server.evaluations(t) - evaluations,
		Writes:      c.writes(t) - writes,
		RSS:         float64(took.peak) / 1e6,
		Errors:      summary.Error,
		Results:     summary.Pass + summary.Fail + summary.Error,
		Passed:      summary.Pass,
	}
	f.Rate = float64(f.Evaluations) / f.Seconds
	return f
}
