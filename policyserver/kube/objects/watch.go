package objects

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// defaultUnused is how long a kind is watched that nobody asks for.
const defaultUnused = 10 * time.Minute

// Waits between attempts to list what cannot be listed: a right that was granted counts
// after the longest of them.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 10 * time.Second
	retrySteps = 8
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
	// documents are those of policies in Rego, by what they are made of.
	documents map[string]*document
}

// watched is a kind that is watched.
type watched struct {
	*store

	logger   *slog.Logger
	end      context.CancelFunc
	lastUsed time.Time

	state sync.Mutex
	// news is closed when the following two change.
	news   chan struct{}
	synced bool
	err    error // why there is nothing to read
}

func newWatches(config Config) *watches {
	config.Unused = cmp.Or(config.Unused, defaultUnused)
	ctx, stop := context.WithCancel(context.Background())
	return &watches{config: config, ctx: ctx, stop: stop, watched: map[host.Resource]*watched{}, documents: map[string]*document{}}
}

func (w *watches) close() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
	w.running.Wait()
}

// read gives the objects of a kind as soon as all are known. It fails at once when the
// account may not read them, and when ctx is done.
func (w *watches) read(ctx context.Context, kind kind) (*store, error) {
	watched, err := w.begin(kind)
	if err != nil {
		return nil, err
	}
	for {
		synced, news, err := watched.now()
		switch {
		case err != nil && isFinal(err):
			return nil, readError(kind, "list and watch", err)
		case synced:
			return watched.store, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			if err != nil {
				return nil, fmt.Errorf("%w: %w", readError(kind, "list and watch", err), ctx.Err())
			}
			return nil, fmt.Errorf("list %s for the first time: %w", kind, ctx.Err())
		}
	}
}

// isFinal says whether waiting does not help.
func isFinal(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

// begin gives the watch of a kind, which begins if nobody has asked for it.
func (w *watches) begin(kind kind) (*watched, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, fmt.Errorf("read %s: the server stops", kind)
	}
	now := w.config.Now()
	w.expire(now)
	found := w.watched[kind.Resource]
	if found == nil {
		ctx, end := context.WithCancel(w.ctx)
		found = &watched{store: newStore(kind), logger: w.config.Logger, end: end, news: make(chan struct{})}
		w.watched[kind.Resource] = found
		w.running.Go(func() { w.follow(ctx, found) })
		w.janitor.Do(func() { w.running.Go(w.tidy) })
	}
	found.lastUsed = now
	return found, nil
}

// expire ends the watches that nobody has asked for in a while.
func (w *watches) expire(now time.Time) {
	for resource, watched := range w.watched {
		if now.Sub(watched.lastUsed) > w.config.Unused {
			watched.end()
			delete(w.watched, resource)
			w.config.Logger.Info("stop watching", "api_version", resource.APIVersion, "kind", resource.Kind)
		}
	}
	for key, document := range w.documents {
		if now.Sub(document.lastUsed) > w.config.Unused {
			delete(w.documents, key)
		}
	}
}

// tidy has watches expire, also when nobody asks for anything any more.
func (w *watches) tidy() {
	every := time.NewTicker(w.config.Unused / 4)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			w.mu.Lock()
			w.expire(w.config.Now())
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

// follow keeps the store of a kind true until ctx is done.
func (w *watches) follow(ctx context.Context, watched *watched) {
	kind := watched.kind
	w.config.Logger.InfoContext(ctx, "begin watching", "api_version", kind.APIVersion, "kind", kind.Kind)
	client := w.config.Clients.Dynamic.Resource(kind.resource)
	lister := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			found, err := client.List(ctx, options)
			watched.failed(err)
			return found, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			following, err := client.Watch(ctx, options)
			watched.failed(err)
			return following, err
		},
	}, w.config.Clients.Dynamic)
	reflector := cache.NewReflectorWithOptions(lister, &unstructured.Unstructured{}, follower{watched}, cache.ReflectorOptions{
		Name: "objects of policies", TypeDescription: kind.String(),
		Backoff: &wait.Backoff{Duration: retryFirst, Factor: 2, Jitter: 0.5, Steps: retrySteps, Cap: retryMost},
	})
	reflector.RunWithContext(ctx)
}

// follower notes that all objects are known.
type follower struct{ *watched }

// Replace takes up all objects that there are.
func (f follower) Replace(objects []any, version string) error {
	if err := f.store.Replace(objects, version); err != nil {
		return err
	}
	f.tell(true, nil)
	return nil
}

// failed notes why nothing can be read. What was known before is told no longer when the
// right to know it is gone; when the API server is away for a while it is.
func (w *watched) failed(err error) {
	if err == nil {
		return
	}
	synced, _, before := w.now()
	if isFinal(err) {
		if before == nil || !isFinal(before) {
			w.logger.Warn("policies cannot read what they were granted", "api_version", w.kind.APIVersion, "kind", w.kind.Kind,
				"error", readError(w.kind, "list and watch", err))
		}
		synced = false
		_ = w.Replace(nil, "") // nothing can be wrong with nothing
	}
	w.tell(synced, err)
}

func (w *watched) tell(synced bool, err error) {
	w.state.Lock()
	defer w.state.Unlock()
	w.synced, w.err = synced, err
	close(w.news)
	w.news = make(chan struct{})
}

func (w *watched) now() (synced bool, news <-chan struct{}, err error) {
	w.state.Lock()
	defer w.state.Unlock()
	return w.synced, w.news, w.err
}
