package objects

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

// annotationApplied holds the object as somebody applied it once. Upstream takes it out of
// lists, too.
const annotationApplied = "kubectl.kubernetes.io/last-applied-configuration"

// item is an object as it is kept: as JSON, which is what policies get.
type item struct {
	namespace, name string
	labels          labels.Set
	raw             []byte
}

// newItem makes an item of an object, which it changes.
func newItem(of kind, object *unstructured.Unstructured) (item, error) {
	unstructured.RemoveNestedField(object.Object, "metadata", "managedFields")
	unstructured.RemoveNestedField(object.Object, "metadata", "annotations", annotationApplied)
	object.SetAPIVersion(of.APIVersion)
	object.SetKind(of.Kind)
	raw, err := json.Marshal(object.Object)
	if err != nil {
		return item{}, fmt.Errorf("encode %s %s/%s: %w", of, object.GetNamespace(), object.GetName(), err)
	}
	return item{object.GetNamespace(), object.GetName(), object.GetLabels(), raw}, nil
}

// size is about what an item takes of memory.
func (i item) size() int {
	const fixed = 200 // of maps, headers and pointers
	size := fixed + len(i.raw) + 2*(len(i.namespace)+len(i.name))
	for key, value := range i.labels {
		size += len(key) + len(value)
	}
	return size
}

// compare orders items by namespace and name.
func compare(a, b item) int {
	if order := strings.Compare(a.namespace, b.namespace); order != 0 {
		return order
	}
	return strings.Compare(a.name, b.name)
}

// maxReplies bounds the answers that are kept of one kind until something changes.
const maxReplies = 16

// store holds all objects of one kind, as long as they are known.
type store struct {
	kind kind
	room *room // nil for no bound

	mu         sync.Mutex
	known      bool // false before all have come, and once they are forgotten
	closed     bool // nothing is taken up any more
	items      map[string]item
	bytes      int    // of items, counted in the room
	generation uint64 // counts changes
	// sorted is in order, or nil. Once it is lent, a change makes another one.
	sorted  []item
	lent    bool
	replies map[string][]byte // by key of the list; empty after a change
	// replyBytes are those of replies, counted in the room.
	replyBytes int
}

var _ cache.ReflectorStore = (*store)(nil)

func newStore(kind kind) *store { return &store{kind: kind, items: map[string]item{}} }

// Add takes up an object.
func (s *store) Add(object any) error { return s.Update(object) }

// Update takes up an object. An *memory.OverError says that there is no room for it, and
// that the store is as it was. One goroutine at a time may change what is in a store.
func (s *store) Update(object any) error {
	next, key, err := s.itemOf(object)
	if err != nil {
		return err
	}
	growth := s.growth(key, next)
	if err := s.room.take(growth); err != nil { // without the lock: others may have to go for it
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.room.give(growth)
		return nil
	}
	s.items[key] = next
	s.bytes += growth
	if at, known := s.place(next); known {
		s.sorted[at] = next
	} else if s.sorted != nil {
		s.sorted = slices.Insert(s.sorted, at, next)
	}
	s.changed()
	return nil
}

// growth is how many bytes more there are with an item.
func (s *store) growth(key string, next item) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	growth := next.size()
	if before, known := s.items[key]; known {
		growth -= before.size()
	}
	return growth
}

// place is where an item is among those in order, or where it would be. They may be changed
// after it.
func (s *store) place(of item) (at int, known bool) {
	if s.lent {
		s.sorted, s.lent = slices.Clone(s.sorted), false
	}
	return slices.BinarySearchFunc(s.sorted, of, compare)
}

// Delete drops an object.
func (s *store) Delete(object any) error {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return fmt.Errorf("drop %s: %w", s.kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.items[key]; known {
		s.bytes -= before.size()
		s.room.give(before.size())
		delete(s.items, key)
		if at, known := s.place(before); known {
			s.sorted = slices.Delete(s.sorted, at, at+1)
		}
		s.changed()
	}
	return nil
}

// Replace takes up all objects that there are. An *memory.OverError is as with Update.
func (s *store) Replace(objects []any, _ string) error {
	items, size := make(map[string]item, len(objects)), 0
	for _, object := range objects {
		next, key, err := s.itemOf(object)
		if err != nil {
			return err
		}
		if before, twice := items[key]; twice {
			size -= before.size()
		}
		items[key] = next
		size += next.size()
	}
	s.mu.Lock()
	growth := size - s.bytes
	s.mu.Unlock()
	if err := s.room.take(growth); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.room.give(growth)
		return nil
	}
	s.known, s.items, s.bytes, s.sorted = true, items, size, nil
	s.changed()
	return nil
}

// forget drops everything until it comes again, and says whether there was anything. Who
// reads meanwhile is told so: an empty list would be an answer.
func (s *store) forget() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.bytes > 0
	s.room.give(s.bytes)
	s.known, s.items, s.bytes, s.sorted = false, map[string]item{}, 0, nil
	s.changed()
	return held
}

// close forgets everything for good.
func (s *store) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.forget()
}

// Resync has nothing to do.
func (s *store) Resync() error { return nil }

func (s *store) itemOf(object any) (item, string, error) {
	if made, is := object.(*accepted); is {
		return made.item, made.Namespace + "/" + made.Name, nil
	}
	known, is := object.(*unstructured.Unstructured)
	if !is {
		return item{}, "", fmt.Errorf("%s is a %T, want JSON", s.kind, object)
	}
	next, err := newItem(s.kind, known)
	return next, known.GetNamespace() + "/" + known.GetName(), err
}

func (s *store) changed() {
	s.generation++
	s.room.give(s.replyBytes)
	s.replies, s.replyBytes = nil, 0
}

// all are the items in order, and the number of changes that led to them. The caller must
// not change the list. The error is errForgotten.
func (s *store) all() ([]item, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return nil, 0, errForgotten
	}
	return s.ordered(), s.generation, nil
}

// ordered lends the items in order.
func (s *store) ordered() []item {
	if s.sorted == nil {
		s.sorted = slices.SortedFunc(maps.Values(s.items), compare)
	}
	s.lent = true
	return s.sorted
}

// list answers a question. Until something changes, the same question has the same answer,
// which is kept where there is room for it. The error is errForgotten, or of an object.
func (s *store) list(asked list) ([]byte, error) {
	items, generation, err := s.all()
	if err != nil {
		return nil, err
	}
	key := asked.key()
	if reply := s.replied(key, generation); reply != nil {
		return reply, nil
	}
	reply, err := asked.answer(items)
	if err != nil {
		return nil, err
	}
	s.keep(key, generation, reply)
	return reply, nil
}

// replied is the answer that was given to a question since the last change; nil for none.
func (s *store) replied(key string, generation uint64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if generation != s.generation {
		return nil
	}
	return s.replies[key]
}

// keep keeps an answer. Nobody has to go for it.
func (s *store) keep(key string, generation uint64, reply []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.replies[key]; twice || generation != s.generation || len(s.replies) >= maxReplies || !s.room.spare(len(reply)) {
		return
	}
	if s.replies == nil {
		s.replies = map[string][]byte{}
	}
	s.replies[key] = reply
	s.replyBytes += len(reply)
}

// held is what the store holds: objects, and about how many bytes of memory.
func (s *store) held() (objects, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items), s.bytes + s.replyBytes
}

// answer is the List of those items that are asked for.
func (l list) answer(items []item) ([]byte, error) {
	chosen, size := make([]item, 0, len(items)), 0
	for _, next := range items {
		if l.selects(next) {
			chosen, size = append(chosen, next), size+len(next.raw)+1
		}
	}
	head, err := json.Marshal(map[string]any{"apiVersion": l.APIVersion, "kind": l.Kind + "List", "metadata": struct{}{}})
	if err != nil {
		return nil, fmt.Errorf("encode list: %w", err)
	}
	if l.masks != nil {
		size /= 2 // nobody knows
	}
	reply := append(make([]byte, 0, size+len(head)+len(`,"items":[]}`)), head[:len(head)-1]...)
	reply = append(reply, `,"items":[`...)
	for i, next := range chosen {
		if i > 0 {
			reply = append(reply, ',')
		}
		if reply, err = l.masks.append(reply, next.raw); err != nil {
			return nil, err
		}
	}
	return append(reply, "]}"...), nil
}

// selects says whether an item is asked for. Fields that are not known here were selected by
// the API server.
func (l list) selects(next item) bool {
	if l.Namespace != "" && next.namespace != l.Namespace || !l.labels.Matches(next.labels) {
		return false
	}
	return !l.fields.inMemory || l.fields.selector.Matches(fields.Set{"metadata.name": next.name, "metadata.namespace": next.namespace})
}
