package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

const (
	// leastData is from which size data is worth a template: less is read within a few
	// hundred microseconds.
	leastData = 8 << 10
	// mostLines bounds how many there are of all modules.
	mostLines = 64
	// mostDataBytes bounds what templates take together, where the memory for guests has no
	// bound; where it has, they take no more than a part of it.
	mostDataBytes = 1 << 30
	guestsPart    = 4
	// dataUnused is how long data is kept that nobody asks about.
	dataUnused = 10 * time.Minute
	// dataRest is how long nothing is tried any more where there was no room.
	dataRest = time.Minute
)

// datasets are those of an engine. Data becomes a dataset when it is asked about for the
// second time: where it changes faster than that, nothing is gained. A call that waits for
// nothing else waits until its dataset is built, and never takes one of other data.
//
// Only policies of those who rule the cluster have datasets. Those of a namespace read
// nothing of the cluster, and must not take the room of others.
type datasets struct {
	engine *Engine
	now    func() time.Time
	most   int64 // bytes

	mutex   sync.Mutex
	lines   map[lineKey]*line
	retired []*dataset // that are to be closed
	closed  bool
	sweeper *time.Timer // runs while there are lines
}

// lineKey tells data apart that is not a version of the same.
type lineKey struct {
	module *Module
	origin string
}

// line is what there is of data that changes.
type line struct {
	// next was asked about once.
	next data
	// set is nil until data was asked about twice.
	set  *dataset
	used time.Time
	// rests is until when no dataset is made.
	rests time.Time
}

func newDatasets(engine *Engine, now func() time.Time) *datasets {
	most := int64(mostDataBytes)
	if guests := engine.budget.Plan().Guests; guests > 0 {
		most = min(most, guests/guestsPart)
	}
	return &datasets{engine: engine, now: now, most: most, lines: map[lineKey]*line{}}
}

// putToReader puts a question to a guest that reads data. It gets an instance that has read
// the very same data, if there is one.
func (m *Module) putToReader(ctx context.Context, reader reader, asked question, ask func(*sandbox.Instance, question) error) error {
	var err error
	if asked.data, err = reader.data(ctx, asked); err != nil {
		return err
	}
	set := m.engine.datasets.find(m, reader, asked)
	if set != nil {
		answered, err := m.putToDataset(ctx, set, asked, ask)
		if answered || err != nil {
			return err
		}
	}
	return m.lend(ctx, asked.from, asked.session, func(instance *sandbox.Instance) error { return ask(instance, asked) })
}

// putToDataset answers false when nobody was asked, for want of an instance.
func (m *Module) putToDataset(ctx context.Context, set *dataset, asked question, ask func(*sandbox.Instance, question) error) (answered bool, err error) {
	if ready, err := set.ready(ctx); !ready {
		return false, err
	}
	defer set.users.leave()
	err = m.onProcessor(ctx, asked.session, func() error {
		instance, err := set.pool.takeKept(ctx, "")
		switch {
		case errors.Is(err, sandbox.ErrDeadline), errors.Is(err, sandbox.ErrCanceled):
			return err
		case err != nil:
			m.engine.datasets.rest(set, err)
			return nil
		}
		answered = true
		asked.known = &set.known
		err = ask(instance, asked)
		return outcome(err, set.pool.give(ctx, "", instance, err))
	})
	return answered, err
}

// find gives the dataset of a question's data, which may not be built yet; nil when there is
// none.
func (d *datasets) find(module *Module, reader reader, asked question) *dataset {
	own, restorable := module.instances.(*pool)
	of := asked.data
	if !restorable || asked.session.Domain() != "" || of.size() < leastData {
		return nil
	}
	key := lineKey{module, of.origin()}
	var found *dataset
	d.change(func() {
		if d.closed {
			return
		}
		now := d.now()
		line := d.lineOf(key, now)
		switch {
		case line.set != nil && line.set.data.equal(of):
			found = line.set
		case !line.next.equal(of):
			line.next = of
		case !now.Before(line.rests) && module.use() == nil:
			d.retire(line)
			line.next, line.set = data{}, newDataset(d.engine, of)
			line.set.users.enter()
			found = line.set
			go d.build(module, reader, own.fresh.program, found)
		}
	})
	return found
}

// change changes what is guarded, and closes what was retired by that.
func (d *datasets) change(what func()) {
	d.mutex.Lock()
	what()
	retired := d.retired
	d.retired = nil
	d.mutex.Unlock()
	for _, set := range retired {
		set.users.close()
	}
}

// lineOf is the line of a key, which is used now. The one that was not used for the longest
// time makes room for it.
func (d *datasets) lineOf(key lineKey, now time.Time) *line {
	found := d.lines[key]
	if found == nil {
		if len(d.lines) >= mostLines {
			d.drop(d.oldest()[0])
		}
		found = &line{}
		d.lines[key] = found
	}
	found.used = now
	if d.sweeper == nil {
		d.sweeper = time.AfterFunc(dataUnused, d.sweep)
	}
	return found
}

// oldest are the lines, those first that were not used for the longest time.
func (d *datasets) oldest() []lineKey {
	return slices.SortedFunc(maps.Keys(d.lines), func(a, b lineKey) int { return d.lines[a].used.Compare(d.lines[b].used) })
}

// retire has no call begin with the dataset of a line any more.
func (d *datasets) retire(line *line) {
	if line.set != nil {
		d.retired = append(d.retired, line.set)
		line.set = nil
	}
}

func (d *datasets) drop(key lineKey) {
	d.retire(d.lines[key])
	delete(d.lines, key)
}

// build builds a dataset. Its module is used meanwhile, and so is the dataset.
func (d *datasets) build(module *Module, reader reader, program *sandbox.Program, set *dataset) {
	defer close(set.built) // after everything, so that those who wait find all done
	defer module.leave()
	err := set.build(module, reader, program)
	if err == nil {
		err = d.makeRoom(set)
	}
	if err != nil {
		d.rest(set, err)
	} else {
		d.engine.counts.datasets.Add(1)
	}
	set.users.leave()
}

// makeRoom retires datasets that were not used for the longest time. An error says that
// there is no room for the new one.
func (d *datasets) makeRoom(set *dataset) error {
	needed := set.pool.bytes()
	if needed > d.most {
		return fmt.Errorf("instances that have read the data of a policy would share %d bytes, at most %d are allowed", needed, d.most)
	}
	d.change(func() {
		_, held := d.held()
		for _, key := range d.oldest() {
			other := d.lines[key].set
			if held+needed <= d.most {
				return
			}
			if other != nil && other != set && other.isBuilt() {
				held -= other.pool.bytes()
				d.retire(d.lines[key])
			}
		}
	})
	return nil
}

// held is how many datasets there are, and the bytes that they take.
func (d *datasets) held() (number int, bytes int64) {
	for _, line := range d.lines {
		if line.set != nil && line.set.isBuilt() && line.set.pool != nil {
			number++
			bytes += line.set.pool.bytes()
		}
	}
	return number, bytes
}

func (d *datasets) usage() (number int, bytes int64) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.held()
}

// rest retires a dataset for which there is no room, and has none made in its place for a
// while.
func (d *datasets) rest(set *dataset, why error) {
	d.engine.counts.withoutDataset.Add(1)
	d.engine.logger.LogAttrs(context.Background(), slog.LevelWarn, "data of a policy is read anew for each call",
		slog.Int("data_bytes", set.data.size()), slog.String("reason", why.Error()))
	d.change(func() {
		for _, line := range d.lines {
			if line.set == set {
				line.rests = d.now().Add(dataRest)
				d.retire(line)
			}
		}
	})
}

// reclaim gives up the dataset that was not used for the longest time, for a guest that
// needs memory. It answers false when all are in use.
func (d *datasets) reclaim() bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, key := range d.oldest() {
		line := d.lines[key]
		if line.set != nil && line.set.users.closeUnused() {
			line.set = nil
			return true
		}
	}
	return false
}

// sweep drops what nobody has asked about for a while.
func (d *datasets) sweep() {
	d.change(func() {
		d.sweeper = nil
		now := d.now()
		for _, key := range d.oldest() {
			if now.Sub(d.lines[key].used) >= dataUnused {
				d.drop(key)
			}
		}
		if len(d.lines) > 0 {
			d.sweeper = time.AfterFunc(dataUnused/2, d.sweep)
		}
	})
}

// forget drops the data of a module that nobody calls any more.
func (d *datasets) forget(module *Module) {
	d.dropAll(func(key lineKey) bool { return key.module == module })
}

// close drops everything, for good.
func (d *datasets) close() {
	d.change(func() { d.closed = true })
	d.dropAll(func(lineKey) bool { return true })
}

func (d *datasets) dropAll(which func(lineKey) bool) {
	d.change(func() {
		for key := range d.lines {
			if which(key) {
				d.drop(key)
			}
		}
		if len(d.lines) == 0 && d.sweeper != nil {
			d.sweeper.Stop()
			d.sweeper = nil
		}
	})
}
