package main

import (
	"context"
	"io/fs"
	"log/slog"
	"math"
	"runtime"
	"runtime/metrics"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// Go's own variables: where one is set, whoever set it wins.
const (
	goMemoryLimit = "GOMEMLIMIT"
	goPercent     = "GOGC"
)

// memoryBudget divides what the container's memory limit allows, and says so once. set is
// told Go's memory limit, unless the environment has one.
func memoryBudget(root fs.FS, getenv func(string) string, set func(int64) int64, logger *slog.Logger) *memory.Budget {
	limit, err := memory.Find(root)
	if err != nil {
		logger.Warn("no memory limit could be read, as if there were none", "error", err)
	}
	plan := memory.NewPlan(limit.Bytes)
	var changed func(int64)
	chosen := getenv(goMemoryLimit)
	if chosen == "" && limit.Bytes > 0 {
		changed = func(bytes int64) { set(bytes) }
	}
	budget := memory.NewBudget(plan, changed)
	switch {
	case limit.Bytes == 0:
		logger.Info("memory is not limited", "gomemlimit", chosen)
	case chosen != "":
		logger.Info("memory is limited", "limit_bytes", limit.Bytes, "read_from", limit.File,
			"modules_bytes", plan.Modules, "guests_bytes", plan.Guests, "objects_bytes", plan.Objects, "gomemlimit", chosen)
	default:
		logger.Info("memory is limited", "limit_bytes", limit.Bytes, "read_from", limit.File,
			"modules_bytes", plan.Modules, "guests_bytes", plan.Guests, "objects_bytes", plan.Objects, "go_limit_bytes", set(math.MinInt64))
	}
	return budget
}

// collector tunes Go's collector to the heap, as memory.GCPercent has it.
type collector struct {
	// live is what was in use at the last collection, in bytes; set sets GOGC.
	live func() int64
	set  func(percent int) int
	// told is what set was told last.
	told int
}

// collectLess has the collector tuned after each collection until ctx ends, unless the
// environment says how it is to work.
func collectLess(ctx context.Context, getenv func(string) string, set func(percent int) int) {
	if getenv(goPercent) != "" {
		return
	}
	tuned := &collector{live: liveHeap, set: set}
	tuned.tune()
	afterCollections(ctx, tuned.tune)
}

// tune says what is new. For small changes it is not worth it: the whole process stands still
// for a moment.
func (c *collector) tune() {
	percent := memory.GCPercent(c.live())
	if change := percent - c.told; 10*max(change, -change) > c.told {
		c.told = percent
		c.set(percent)
	}
}

// liveHeap is what the last collection left of the heap, in bytes; 0 before the first.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(min(sample[0].Value.Uint64(), math.MaxInt64))
}

// afterCollections calls do after each collection until ctx ends: whenever an object that
// nobody has is gone.
func afterCollections(ctx context.Context, do func()) {
	object := &[1]*int{}
	runtime.AddCleanup(object, func(do func()) {
		if ctx.Err() == nil {
			afterCollections(ctx, do)
			do()
		}
	}, do)
}
