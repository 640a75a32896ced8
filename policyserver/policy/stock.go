package policy

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// idleTime is after how long an instance that nobody needed is given up.
const idleTime = time.Minute

// stock is what is idle of all pools of an engine. Each pool keeps for each domain at most
// as many instances as can run at the same time; all together keep at most a number that is
// the engine's, and no more than memory has room for. Those that were not needed for the
// longest time go first.
type stock struct {
	most   int // idle instances of all pools
	giveUp func([]*sandbox.Instance)

	mutex   sync.Mutex
	pools   map[*pool]struct{} // that are not closed
	count   int
	puts    uint64      // counts what was put here, in the place of a clock
	sweeper *time.Timer // runs while anything is idle
}

// shelf holds idle instances of one pool and domain. The last one that was put there is the
// first to be taken, so that those at the bottom are the ones that are not needed.
type shelf struct {
	idle []idle
	// least is how many there were at any time since the last sweep.
	least int
}

type idle struct {
	instance *sandbox.Instance
	since    uint64 // the number of its put
}

func newStock(most int, giveUp func([]*sandbox.Instance)) *stock {
	return &stock{most: most, giveUp: giveUp, pools: map[*pool]struct{}{}}
}

func (s *stock) add(added *pool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.pools[added] = struct{}{}
}

// take is nil when nothing is idle.
func (s *stock) take(of *pool, domain string) *sandbox.Instance {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	shelf := of.shelves[domain]
	if shelf == nil || len(shelf.idle) == 0 {
		return nil
	}
	last := len(shelf.idle) - 1
	instance := shelf.idle[last].instance
	shelf.idle[last] = idle{}
	shelf.idle = shelf.idle[:last]
	shelf.least = min(shelf.least, last)
	s.count--
	return instance
}

// put says whether the instance was kept, and what has to be given up for that.
func (s *stock) put(of *pool, domain string, instance *sandbox.Instance) (surplus []*sandbox.Instance, kept bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if of.closed {
		return nil, false
	}
	at := of.shelves[domain]
	if at == nil {
		at = &shelf{}
		of.shelves[domain] = at
	}
	if len(at.idle) >= runtime.GOMAXPROCS(0) {
		return nil, false
	}
	if s.count >= s.most {
		surplus = s.takeOldest()
	}
	s.puts++
	at.idle = append(at.idle, idle{instance, s.puts})
	s.count++
	if s.sweeper == nil {
		s.sweeper = time.AfterFunc(idleTime, s.sweep)
	}
	return surplus, true
}

// oldest takes out some of what was idle for the longest time.
func (s *stock) oldest() []*sandbox.Instance {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.takeOldest()
}

// evictedPart is which part of what is idle goes at a time: looking for the oldest takes a
// look at all.
const evictedPart = 8

func (s *stock) takeOldest() []*sandbox.Instance {
	if s.count == 0 {
		return nil
	}
	ages := make([]uint64, 0, s.count)
	s.each(func(shelf *shelf) {
		for _, one := range shelf.idle {
			ages = append(ages, one.since)
		}
	})
	slices.Sort(ages)
	last := ages[(len(ages)-1)/evictedPart]
	var taken []*sandbox.Instance
	s.each(func(shelf *shelf) {
		n := 0
		for n < len(shelf.idle) && shelf.idle[n].since <= last { // they lie in the order of their puts
			n++
		}
		taken = append(taken, s.cut(shelf, n)...)
	})
	return taken
}

func (s *stock) each(visit func(*shelf)) {
	for pool := range s.pools {
		for _, shelf := range pool.shelves {
			visit(shelf)
		}
	}
}

// cut takes the lowest ones off a shelf.
func (s *stock) cut(shelf *shelf, n int) (taken []*sandbox.Instance) {
	for _, one := range shelf.idle[:n] {
		taken = append(taken, one.instance)
	}
	shelf.idle = slices.Clone(shelf.idle[n:])
	shelf.least = min(shelf.least, len(shelf.idle))
	s.count -= n
	return taken
}

// sweep gives up the instances that were not needed since the last sweep.
func (s *stock) sweep() {
	s.mutex.Lock()
	var unneeded []*sandbox.Instance
	s.sweeper = nil
	for pool := range s.pools {
		for domain, shelf := range pool.shelves {
			unneeded = append(unneeded, s.cut(shelf, shelf.least)...)
			shelf.least = len(shelf.idle)
			if shelf.least == 0 {
				delete(pool.shelves, domain)
			}
		}
	}
	if s.count > 0 {
		s.sweeper = time.AfterFunc(idleTime, s.sweep)
	}
	s.mutex.Unlock()
	s.giveUp(unneeded)
}

// remove takes a pool out, and what it has that is idle.
func (s *stock) remove(removed *pool) (idle []*sandbox.Instance) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.pools, removed)
	removed.closed = true
	for _, shelf := range removed.shelves {
		idle = append(idle, s.cut(shelf, len(shelf.idle))...)
	}
	removed.shelves = nil
	if s.count == 0 && s.sweeper != nil {
		s.sweeper.Stop()
		s.sweeper = nil
	}
	return idle
}

// close closes the pools of modules that nobody has closed.
func (s *stock) close(ctx context.Context) error {
	s.mutex.Lock()
	left := slices.Collect(maps.Keys(s.pools))
	s.mutex.Unlock()
	var err error
	for _, pool := range left {
		err = errors.Join(err, pool.close(ctx))
	}
	return err
}

// idle is how many instances are idle.
func (s *stock) idle() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.count
}
