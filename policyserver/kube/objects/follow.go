package objects

import (
	"context"
	"errors"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// pageSize is how many objects come at once where they do not come as a stream: what is too
// large is known before all of it is here.
const pageSize = 500

// follow keeps the store of a kind true until ctx is done.
func (w *watches) follow(ctx context.Context, watched *watched) {
	kind := watched.kind
	w.config.Logger.InfoContext(ctx, "begin watching", "api_version", kind.APIVersion, "kind", kind.Kind)
	follower := &follower{watched: watched, client: w.config.Clients.Dynamic.Resource(kind.resource)}
	defer follower.end()
	lister := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: follower.list, WatchFuncWithContext: follower.watch,
	}, w.config.Clients.Dynamic)
	reflector := cache.NewReflectorWithOptions(lister, &unstructured.Unstructured{}, follower, cache.ReflectorOptions{
		Name: "objects of policies", TypeDescription: kind.String(),
		Backoff: &wait.Backoff{Duration: retryFirst, Factor: 2, Jitter: 0.5, Steps: retrySteps, Cap: retryMost},
	})
	reflector.WatchListPageSize = pageSize
	reflector.RunWithContext(ctx)
}

// follower is what a reflector writes to. While all objects come, for the first time or
// again, it makes items of them one by one and counts them; the store gets them when all
// are there.
type follower struct {
	*watched
	client dynamic.NamespaceableResourceInterface

	mu     sync.Mutex
	staged int // bytes of what has come
	ended  bool
}

var _ cache.TransformingStore = (*follower)(nil)

func (f *follower) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if options.Continue == "" {
		f.unstage()
	}
	if options.ResourceVersion == "0" {
		options.ResourceVersion = "" // of any state whatever there are no pages
	}
	found, err := f.client.List(ctx, options)
	f.failed(err)
	if err != nil {
		return nil, err
	}
	made := &page{ListMeta: metav1.ListMeta{ResourceVersion: found.GetResourceVersion(), Continue: found.GetContinue()}}
	for i := range found.Items {
		next, err := f.accept(&found.Items[i])
		if err != nil {
			return nil, err
		}
		made.Items = append(made.Items, next)
	}
	return made, nil
}

func (f *follower) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		f.unstage()
	}
	following, err := f.client.Watch(ctx, options)
	if options.SendInitialEvents == nil || err != nil && isFinal(err) { // else a list follows, and tells
		f.failed(err)
	}
	return following, err
}

// accept makes an item of an object that has come, and counts it.
func (f *follower) accept(object *unstructured.Unstructured) (*accepted, error) {
	made, err := newItem(f.kind, object)
	if err != nil {
		return nil, err
	}
	if err := f.stage(made.size()); err != nil {
		return nil, err
	}
	return &accepted{ObjectMeta: metav1.ObjectMeta{Namespace: made.namespace, Name: made.name}, item: made}, nil
}

// stage counts bytes. Where there is no room for all objects beside those that were known
// before, the latter go first.
func (f *follower) stage(bytes int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return errForgotten
	}
	err := f.room.take(bytes)
	if err != nil && f.forget() {
		f.tell(false, nil)
		err = f.room.take(bytes)
	}
	if err == nil {
		f.staged += bytes
		return nil
	}
	needed := f.staged + bytes
	f.room.give(f.staged)
	f.staged, f.ended = 0, true
	f.refuse(err, needed)
	return err
}

// unstage drops what has come of an attempt that failed.
func (f *follower) unstage() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room.give(f.staged)
	f.staged = 0
}

func (f *follower) end() {
	f.unstage()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// Transformer makes items of objects that come as a stream.
func (f *follower) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		known, is := object.(*unstructured.Unstructured)
		if !is {
			return object, nil
		}
		made, err := f.accept(known)
		if _, over := errors.AsType[*memory.OverError](err); over || errors.Is(err, errForgotten) {
			return known, nil // the watch is ending, and so does what this is kept in
		}
		return made, err
	}
}

// Add takes up an object.
func (f *follower) Add(object any) error { return f.Update(object) }

// Update takes up an object.
func (f *follower) Update(object any) error {
	err := f.store.Update(object)
	if over, is := errors.AsType[*memory.OverError](err); is {
		_, held := f.held()
		f.refuse(err, held+int(over.Needed))
		return nil
	}
	return err
}

// Replace takes up all objects that there are.
func (f *follower) Replace(objects []any, version string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	// What was counted when it came is counted by the store from now on.
	f.room.give(f.staged)
	f.staged = 0
	if err := f.store.Replace(objects, version); err != nil {
		if over, is := errors.AsType[*memory.OverError](err); is {
			f.refuse(err, int(over.Needed))
		}
		return err
	}
	f.tell(true, nil)
	return nil
}

// accepted is an item as a reflector passes it on.
type accepted struct {
	metav1.ObjectMeta
	item
}

var _ runtime.Object = (*accepted)(nil)

// GetObjectKind is of no kind: nobody asks.
func (*accepted) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is the same: nobody changes it.
func (a *accepted) DeepCopyObject() runtime.Object { return a }

// page is a part of a list.
type page struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []runtime.Object
}

var _ runtime.Object = (*page)(nil)

// DeepCopyObject is the same: nobody changes it.
func (p *page) DeepCopyObject() runtime.Object { return p }
