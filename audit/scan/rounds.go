package scan

import (
	"context"
	"errors"
	"sync"
)

// place is a namespace, or ("") the cluster for what lives in none.
type place struct {
	namespace string
	labels    map[string]string
	// ignored says that nothing in it is audited.
	ignored bool
}

func (p place) String() string {
	if p.namespace == "" {
		return "the cluster"
	}
	return "namespace " + p.namespace
}

// rounds goes through places, through so many at once as namespaces are to be scanned at once.
func (r *run) rounds(ctx context.Context, places []place) error {
	queue := make(chan place, len(places))
	for _, at := range places {
		queue <- at
	}
	close(queue)
	var (
		mu      sync.Mutex
		errs    []error
		working sync.WaitGroup
	)
	for range min(r.config.ParallelNamespaces, len(places)) {
		working.Go(func() {
			err := r.round(ctx, queue)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// round goes through places one after the other. As soon as everything in one has been listed the
// next is begun, so that policy servers have something to do while the last objects of the one
// before are audited, its last reports written, and its stale ones deleted. Both share the
// desks: no more objects are audited at once than there would be in one.
func (r *run) round(ctx context.Context, queue <-chan place) error {
	desks := make(chan struct{}, r.config.ParallelResources)
	var errs []error
	ended := func() error { return nil }
	for at := range queue {
		if at.ignored {
			errs = append(errs, r.ignore(ctx, at))
			continue
		}
		p := r.newPass(at, desks)
		// Only one at a time is about to end: what is known of its reports is kept until then.
		errs = append(errs, p.begin(ctx), ended())
		ended = p.end(ctx)
	}
	return errors.Join(append(errs, ended())...)
}

// at has an object audited at a desk, as soon as one is free.
func (p *pass) at(work func()) {
	p.desks <- struct{}{}
	p.audited.Go(func() {
		defer func() { <-p.desks }()
		work()
	})
}
