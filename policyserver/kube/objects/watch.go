package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// defaultUnused is how long a kind is watched that is not wanted and that nobody asks for.
const defaultUnused = 10 * time.Minute

// Waits between attempts to list what cannot be listed: a right that was granted counts
// after the longest of them.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 10 * time.Second
	retrySteps = 8
	// retryNoRoom is the wait before a kind is tried again that had no room.
	retryNoRoom = 2 * time.Minute
)

// Usage is what is held of a kind.
type Usage struct {
	APIVersion, Kind string
	Objects, Bytes   int
}

// watches are the kinds that are watched, each once for all policies: what a policy may see
// of it was decided before.
type watches struct {
	config Config
	ctx    context.Context //nolint:containedctx // that of the watches, which outlive the calls that begin them
	stop   context.CancelFunc

	mu      sync.Mutex
	running sync.WaitGroup
	janitor sync.Once
	watched map[host.Resource]*watched
	// wanted are the kinds that are watched whether anybody asks or not, and what calls off
	// looking for them.
	wanted map[host.Resource]context.CancelFunc
	// documents are those of policies in Rego, by what they are made of.
	documents map[string]*document
}

// watched is a kind that is watched.
type watched struct {
	*store

	logger *slog.Logger
	end    context.CancelFunc
	now    func() time.Time
	// changed is told when what keeps policies from reading may have changed.
	changed func()
	// The following two are guarded by the watches: when somebody asked for the last time, or
	// else when the watch began, and whether anybody did.
	lastUsed time.Time
	asked    bool

	state sync.Mutex
	// news is closed when the following two change.
	news   chan struct{}
	synced bool
	err    error // why there is nothing to read
	// since is when waiting began not to help.
	since time.Time
}

func newWatches(config Config) *watches {
	config.Unused = cmp.Or(config.Unused, defaultUnused)
	if config.Changed == nil {
		config.Changed = func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	return &watches{config: config, ctx: ctx, stop: stop, watched: map[host.Resource]*watched{}, documents: map[string]*document{}}
}

func (w *watches) close() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
	w.running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, watched := range w.watched {
		w.drop(watched)
	}
	for key, document := range w.documents {
		w.dropDocument(key, document)
	}
}

// read gives the objects of a kind as soon as all are known. It fails at once when the
// account may not read them or there is no room for them, and when ctx is done.
func (w *watches) read(ctx context.Context, kind kind) (*store, error) {
	for {
		watched, err := w.begin(kind)
		if err != nil {
			return nil, err
		}
		if err := watched.wait(ctx); !errors.Is(err, errForgotten) {
			return watched.store, err
		}
	}
}

// wait returns as soon as all objects are known. The error is errForgotten when the watch
// has ended.
func (w *watched) wait(ctx context.Context) error {
	for {
		synced, news, err := w.status()
		switch {
		case errors.Is(err, errForgotten):
			return err
		case err != nil && isFinal(err):
			return readError(w.kind, "list and watch", err)
		case synced:
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("%w: %w", readError(w.kind, "list and watch", err), ctx.Err())
			}
			return fmt.Errorf("list %s for the first time: %w", w.kind, ctx.Err())
		}
	}
}

// isFinal says whether waiting does not help.
func isFinal(err error) bool {
	return isNoRoom(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

func isNoRoom(err error) bool {
	_, is := errors.AsType[*noRoomError](err)
	return is
}

// begin gives the watch of a kind, on which somebody asks. It begins if there is none.
func (w *watches) begin(kind kind) (*watched, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, fmt.Errorf("read %s: the server stops", kind)
	}
	now := w.config.Now()
	w.expire(now)
	found := w.watched[kind.Resource]
	if found != nil && found.hadNoRoom(now.Add(-retryNoRoom)) {
		w.drop(found)
		found = nil
	}
	if found == nil {
		found = w.start(kind)
	}
	found.lastUsed, found.asked = now, true
	return found, nil
}

// start begins a watch.
func (w *watches) start(kind kind) *watched {
	ctx, end := context.WithCancel(w.ctx)
	started := &watched{
		store: newStore(kind), logger: w.config.Logger, end: end, now: w.config.Now, changed: w.config.Changed,
		news: make(chan struct{}), lastUsed: w.config.Now(),
	}
	started.room = &room{budget: w.config.Memory, free: func() bool { return w.freeFor(started) }}
	w.watched[kind.Resource] = started
	w.running.Go(func() { w.follow(ctx, started) })
	w.janitor.Do(func() { w.running.Go(w.tidy) })
	return started
}

// drop ends a watch and forgets what it knew.
func (w *watches) drop(gone *watched) {
	if w.watched[gone.kind.Resource] == gone {
		delete(w.watched, gone.kind.Resource)
	}
	gone.end()
	gone.tell(false, errForgotten)
	gone.close()
}

// expire ends the watches that nobody has asked for in a while.
func (w *watches) expire(now time.Time) {
	for resource, watched := range w.watched {
		if _, wanted := w.wanted[resource]; !wanted && now.Sub(watched.lastUsed) > w.config.Unused {
			w.drop(watched)
			w.config.Logger.Info("stop watching", "api_version", resource.APIVersion, "kind", resource.Kind)
		}
	}
	for key, document := range w.documents {
		if now.Sub(document.lastUsed) > w.config.Unused {
			w.dropDocument(key, document)
		}
	}
}

// tidy has watches expire and tries again what had no room, also when nobody asks for
// anything any more.
func (w *watches) tidy() {
	every := time.NewTicker(w.config.Unused / 10)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			w.mu.Lock()
			w.expire(w.config.Now())
			w.retry(w.config.Now())
			w.mu.Unlock()
		case <-w.ctx.Done():
			return
		}
	}
}

// usage is what is held.
func (w *watches) usage() []Usage {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make([]Usage, 0, len(w.watched))
	for resource, watched := range w.watched {
		objects, size := watched.held()
		held = append(held, Usage{resource.APIVersion, resource.Kind, objects, size})
	}
	slices.SortFunc(held, func(a, b Usage) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind))
	})
	return held
}

// failed notes why nothing can be read. What was known before is told no longer when the
// right to know it is gone; when the API server is away for a while it is.
func (w *watched) failed(err error) {
	if err == nil {
		return
	}
	synced, _, before := w.status()
	final := isFinal(err)
	if final && (before == nil || !isFinal(before)) {
		w.logger.Warn("policies cannot read what they were granted", "api_version", w.kind.APIVersion, "kind", w.kind.Kind,
			"error", readError(w.kind, "list and watch", err))
	}
	w.tell(synced && !final, err) // first: who finds nothing looks here
	if final {
		w.forget()
	}
}

// refuse notes that there is no room for the objects, of which so many bytes are known, and
// ends the watch. over is an *memory.OverError.
func (w *watched) refuse(over error, bytes int) {
	refused := &noRoomError{kind: w.kind, bytes: bytes}
	if _, _, before := w.status(); !errors.As(over, &refused.over) || before != nil && isNoRoom(before) {
		return
	}
	w.logger.Warn("policies cannot read what they were granted", "api_version", w.kind.APIVersion, "kind", w.kind.Kind, "error", refused)
	w.close() // first: whoever is told finds the memory free
	w.tell(false, refused)
	w.end()
}

// hadNoRoom says whether there was no room for the objects, and that before a time.
func (w *watched) hadNoRoom(before time.Time) bool {
	w.state.Lock()
	defer w.state.Unlock()
	return w.err != nil && isNoRoom(w.err) && w.since.Before(before)
}

func (w *watched) tell(synced bool, err error) {
	w.state.Lock()
	defer w.state.Unlock()
	if isFinal(err) || isFinal(w.err) {
		defer w.changed()
	}
	if errors.Is(w.err, errForgotten) || isNoRoom(w.err) && !errors.Is(err, errForgotten) {
		return // the watch has ended over it
	}
	if isFinal(err) && !isFinal(w.err) {
		w.since = w.now()
	}
	w.synced, w.err = synced, err
	close(w.news)
	w.news = make(chan struct{})
}

// status says whether all objects are known, or else why not.
func (w *watched) status() (synced bool, news <-chan struct{}, err error) {
	w.state.Lock()
	defer w.state.Unlock()
	return w.synced, w.news, w.err
}
