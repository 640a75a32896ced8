package objects

import (
	"errors"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// idle is how long nobody has used what gives its memory to others.
const idle = time.Minute

// errForgotten says that what was read is not known any more: reading again helps, or tells
// why it does not.
var errForgotten = errors.New("the objects are not known any more")

// noRoomError says that the objects of a kind take more memory than there is.
type noRoomError struct {
	kind kind
	// bytes is what was known to be needed: the kind may need more.
	bytes int
	over  *memory.OverError
}

// Error names the kind, what it needs and what is allowed.
func (e *noRoomError) Error() string {
	others := max(e.over.Held+e.over.Needed-int64(e.bytes), 0)
	return fmt.Sprintf("the objects of %s need %s of memory or more; all kinds may have %s of the memory limit of %s, and others have %s of it",
		e.kind, memory.Mebibytes(int64(e.bytes)), memory.Mebibytes(e.over.Allowed), memory.Mebibytes(e.over.Limit), memory.Mebibytes(others))
}

func (e *noRoomError) Unwrap() error { return e.over }

// room is what one holder has of the memory for objects. A nil one bounds nothing.
type room struct {
	budget *memory.Budget
	// free has somebody else give something back, and says whether there was anything.
	free func() bool
}

// take counts bytes before they are kept; less than none are given back. The error is an
// *memory.OverError.
func (r *room) take(bytes int) error {
	switch size := (memory.Size{Heap: int64(bytes)}); {
	case r == nil || bytes == 0:
		return nil
	case bytes < 0:
		r.give(-bytes)
		return nil
	default:
		return r.budget.TakeOrFree(memory.Objects, size, r.free)
	}
}

// spare is take for what nobody has to go for, and says whether there was room.
func (r *room) spare(bytes int) bool {
	if r == nil {
		return true
	}
	if !r.has(bytes) { // no refusal to be counted
		return false
	}
	return r.budget.Take(memory.Objects, memory.Size{Heap: int64(bytes)}) == nil
}

// has says whether there is room for bytes.
func (r *room) has(bytes int) bool {
	usage := r.budget.Usage(memory.Objects)
	return usage.Allowed == 0 || usage.Held+int64(bytes) <= usage.Allowed
}

func (r *room) give(bytes int) {
	if r != nil {
		r.budget.Give(memory.Objects, memory.Size{Heap: int64(bytes)})
	}
}

// freeFor has something go that nobody has used for a moment, that which was not used for
// the longest time first: data of policies in Rego, and then kinds, unless nobody has asked
// for the one that needs the room either. It says whether anything went.
func (w *watches) freeFor(asking *watched) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.config.Now().Add(-idle)
	if w.freeDocument(before) {
		return true
	}
	if asking != nil && !asking.asked {
		return false
	}
	var oldest *watched
	for _, candidate := range w.watched {
		if candidate != asking && candidate.lastUsed.Before(before) && (oldest == nil || candidate.lastUsed.Before(oldest.lastUsed)) {
			oldest = candidate
		}
	}
	if oldest == nil {
		return false
	}
	w.drop(oldest)
	w.config.Logger.Info("stop watching: others need the memory", "api_version", oldest.kind.APIVersion, "kind", oldest.kind.Kind)
	return true
}

// freeDocument drops the document that was last used before all others, if that was before a
// time. One that is being made stays.
func (w *watches) freeDocument(before time.Time) bool {
	var key string
	var oldest *document
	for next, candidate := range w.documents {
		if candidate.lastUsed.Before(before) && (oldest == nil || candidate.lastUsed.Before(oldest.lastUsed)) {
			key, oldest = next, candidate
		}
	}
	return oldest != nil && w.dropDocument(key, oldest)
}

// dropDocument forgets a document, unless it is being made.
func (w *watches) dropDocument(key string, of *document) bool {
	if !of.mu.TryLock() {
		return false
	}
	defer of.mu.Unlock()
	of.room.give(len(of.content))
	of.parts, of.content, of.room = nil, nil, nil
	delete(w.documents, key)
	return true
}
