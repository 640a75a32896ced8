package policy

import (
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
)

// Stats is how an engine's modules get their instances.
type Stats struct {
	// Isolation is what the engine does, which may be less than what Config wanted.
	Isolation Isolation
	// Method is how memory is put back, "pagemap" or "copy"; "none" with IsolationFresh.
	Method string

	// Waiting is how many calls wait for a processor.
	Waiting int
	// Idle is how many instances wait for a call.
	Idle int
	// Taken counts the instances that were handed out for a call, by what they are.
	Taken map[Isolation]uint64
	// Warm is how many policies have warm instances now; NotWarm counts those that were to
	// and have not, by reason.
	Warm    int
	NotWarm map[NotWarm]uint64
	// Made counts instances that were made to be put back, Fresh those that were made for
	// one call.
	Made, Fresh uint64
	// Restores counts how often one was put back, Pages the pages of memory that were
	// written for that, Failed those that could not be put back.
	Restores, Pages, Failed uint64
	// Reclaimed counts idle ones that were given up because a guest needed memory.
	Reclaimed uint64

	// Datasets is how much data there is that instances have read before they are called,
	// DatasetBytes what the images of those instances take. DatasetsMade counts such data;
	// WithoutDataset counts data that each call read anew for want of memory.
	Datasets                     int
	DatasetBytes                 int64
	DatasetsMade, WithoutDataset uint64

	// Compiled counts modules that were compiled, FromCache those of them whose machine code
	// an earlier process had left in Config.CacheDir; CompileTime is what all took together.
	Compiled, FromCache uint64
	CompileTime         time.Duration
}

// counts are those of Stats.
type counts struct {
	made, fresh, restores, pages, failed, reclaimed, datasets, withoutDataset atomic.Uint64

	pristine, warmed atomic.Uint64 // instances that were handed out
	warm             atomic.Int64
	notWarm          map[NotWarm]*atomic.Uint64 // has every reason from the start
}

// takenOf counts instances of one pool that were handed out.
func (c *counts) takenOf(isolation Isolation) *atomic.Uint64 {
	if isolation == IsolationWarm {
		return &c.warmed
	}
	return &c.pristine
}

// Stats is what there is now.
func (e *Engine) Stats() Stats {
	compilations := e.runtime.Compilations()
	sets, setBytes := e.datasets.usage()
	notWarm := make(map[NotWarm]uint64, len(e.counts.notWarm))
	for reason, count := range e.counts.notWarm {
		notWarm[reason] = count.Load()
	}
	return Stats{
		Isolation: e.isolation(), Method: method(e.memory), Waiting: int(e.processors.waiting.Load()), Idle: e.stock.idle(),
		Made: e.counts.made.Load(), Fresh: e.counts.fresh.Load(),
		Restores: e.counts.restores.Load(), Pages: e.counts.pages.Load(), Failed: e.counts.failed.Load(),
		Reclaimed: e.counts.reclaimed.Load(),
		Datasets:  sets, DatasetBytes: setBytes,
		DatasetsMade: e.counts.datasets.Load(), WithoutDataset: e.counts.withoutDataset.Load(),
		Taken: map[Isolation]uint64{
			IsolationFresh: e.counts.fresh.Load(), IsolationPristine: e.counts.pristine.Load(), IsolationWarm: e.counts.warmed.Load(),
		},
		Warm: int(e.counts.warm.Load()), NotWarm: notWarm,
		Compiled: compilations.Compiled, FromCache: compilations.FromCache, CompileTime: compilations.Took,
	}
}

func (e *Engine) isolation() Isolation {
	if e.memory == nil {
		return IsolationFresh
	}
	return IsolationPristine
}

func method(system *snapshot.System) string {
	if system == nil {
		return "none"
	}
	method, _ := system.Method()
	return method.String()
}
