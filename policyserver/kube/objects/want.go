package objects

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// settling is how long a kind must be out of reach to be told of: API servers learn of a
// binding that was just written a moment late. What has no room is told of at once.
const settling = 5 * time.Second

// seekMost is the longest wait before a kind is looked for again that is not served.
const seekMost = 30 * time.Second

// Trouble is what keeps policies from reading a kind.
type Trouble int

// Troubles.
const (
	// TroubleForbidden is a right that the account lacks.
	TroubleForbidden Trouble = iota
	// TroubleNotServed is a kind that the API server does not have, or does not list.
	TroubleNotServed
	// TroubleNoRoom is that the objects do not fit into the memory for them.
	TroubleNoRoom
)

// Problem says why a kind cannot be read.
type Problem struct {
	Trouble Trouble
	// Message is what policies are told that read it.
	Message string
}

// Want has kinds watched from now on, whether anybody asks or not, and ends the watches of
// those that were wanted before and are no longer. It does not wait.
func (c *Capability) Want(resources []host.Resource) {
	w := c.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	wanted := make(map[host.Resource]context.CancelFunc, len(resources))
	for _, resource := range resources {
		if stop, already := w.wanted[resource]; already {
			wanted[resource] = stop
			continue
		}
		ctx, stop := context.WithCancel(w.ctx)
		wanted[resource] = stop
		w.running.Go(func() { c.seek(ctx, resource) })
	}
	for resource, stop := range w.wanted {
		if _, still := wanted[resource]; !still {
			stop()
			w.abandon(resource)
		}
	}
	w.wanted = wanted
}

// abandon ends the watch of a kind that no policy may read any more.
func (w *watches) abandon(resource host.Resource) {
	if found := w.watched[resource]; found != nil {
		w.drop(found)
		w.config.Logger.Info("stop watching: no policy reads it", "api_version", resource.APIVersion, "kind", resource.Kind)
	}
	for key, document := range w.documents {
		if document.reads(resource) {
			w.dropDocument(key, document)
		}
	}
}

// seek finds out what the API server calls a kind that is wanted, and has it watched. What
// cannot be listed, such as a review, need not be.
func (c *Capability) seek(ctx context.Context, resource host.Resource) {
	for wait := retryFirst; ; wait = min(2*wait, seekMost) {
		kind, err := c.kinds.find(ctx, resource)
		if err == nil {
			if kind.listed {
				c.watches.prefetch(ctx, kind)
			}
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// prefetch begins the watch of a kind on which nobody has asked yet. ctx is done when it is
// wanted no more.
func (w *watches) prefetch(ctx context.Context, kind kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil && w.watched[kind.Resource] == nil {
		w.start(kind)
	}
}

// retry tries kinds again that are wanted and had no room, once there may be some.
func (w *watches) retry(now time.Time) {
	for resource := range w.wanted {
		found := w.watched[resource]
		if found == nil || !found.hadNoRoom(now.Add(-retryNoRoom)) {
			continue
		}
		if refused, is := errors.AsType[*noRoomError](found.problem()); is && found.room.has(refused.bytes) {
			w.drop(found)
			w.start(found.kind)
		}
	}
}

// Problems are the kinds that cannot be read, of those that are watched.
func (c *Capability) Problems() map[host.Resource]Problem {
	w := c.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	problems := map[host.Resource]Problem{}
	now := w.config.Now()
	for resource, watched := range w.watched {
		err := watched.problem()
		switch {
		case err == nil || !isFinal(err):
			continue
		case isNoRoom(err):
			problems[resource] = Problem{TroubleNoRoom, err.Error()}
			continue
		case now.Sub(watched.troubledSince()) < settling:
			continue
		}
		trouble := TroubleNotServed
		if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
			trouble = TroubleForbidden
		}
		problems[resource] = Problem{trouble, readError(watched.kind, "list and watch", err).Error()}
	}
	return problems
}

// problem is why nothing can be read; nil when it can.
func (w *watched) problem() error {
	_, _, err := w.status()
	return err
}

// troubledSince is since when nothing can be read.
func (w *watched) troubledSince() time.Time {
	w.state.Lock()
	defer w.state.Unlock()
	return w.since
}
