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

// store holds all objects of one kind. It is what a reflector writes to.
type store struct {
	kind kind

	mu         sync.Mutex
	items      map[string]item
	bytes      int
	generation uint64 // counts changes
	// sorted is in order, or nil. Once it is lent, a change makes another one.
	sorted  []item
	lent    bool
	replies map[string][]byte // by key of the list; empty after a change
}

var _ cache.ReflectorStore = (*store)(nil)

func newStore(kind kind) *store { return &store{kind: kind, items: map[string]item{}} }

// Add takes up an object.
func (s *store) Add(object any) error { return s.Update(object) }

// Update takes up an object.
func (s *store) Update(object any) error {
	next, key, err := s.itemOf(object)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.items[key]; known {
		s.bytes -= before.size()
	}
	s.items[key] = next
	s.bytes += next.size()
	if at, known := s.place(next); known {
		s.sorted[at] = next
	} else if s.sorted != nil {
		s.sorted = slices.Insert(s.sorted, at, next)
	}
	s.changed()
	return nil
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
		delete(s.items, key)
		if at, known := s.place(before); known {
			s.sorted = slices.Delete(s.sorted, at, at+1)
		}
		s.changed()
	}
	return nil
}

// Replace takes up all objects that there are.
func (s *store) Replace(objects []any, _ string) error {
	items, size := make(map[string]item, len(objects)), 0
	for _, object := range objects {
		next, key, err := s.itemOf(object)
		if err != nil {
			return err
		}
		items[key] = next
		size += next.size()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items, s.bytes, s.sorted = items, size, nil
	s.changed()
	return nil
}

// Resync has nothing to do.
func (s *store) Resync() error { return nil }

func (s *store) itemOf(object any) (item, string, error) {
	known, is := object.(*unstructured.Unstructured)
	if !is {
		return item{}, "", fmt.Errorf("%s is a %T, want JSON", s.kind, object)
	}
	next, err := newItem(s.kind, known)
	return next, known.GetNamespace() + "/" + known.GetName(), err
}

func (s *store) changed() {
	s.generation++
	s.replies = nil
}

// all are the items in order, and the number of changes that led to them. The caller must
// not change the list.
func (s *store) all() ([]item, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ordered(), s.generation
}

// ordered lends the items in order.
func (s *store) ordered() []item {
	if s.sorted == nil {
		s.sorted = slices.SortedFunc(maps.Values(s.items), compare)
	}
	s.lent = true
	return s.sorted
}

// list answers a question. Until something changes, the same question has the same answer.
func (s *store) list(asked list) ([]byte, error) {
	key := asked.key()
	s.mu.Lock()
	reply, known := s.replies[key]
	items, generation := s.ordered(), s.generation
	s.mu.Unlock()
	if known {
		return reply, nil
	}
	reply, err := asked.answer(items)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if generation == s.generation && len(s.replies) < maxReplies {
		if s.replies == nil {
			s.replies = map[string][]byte{}
		}
		s.replies[key] = reply
	}
	return reply, nil
}

// held is what the store holds: objects, and about how many bytes of memory.
func (s *store) held() (objects, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size = s.bytes
	for _, reply := range s.replies {
		size += len(reply)
	}
	return len(s.items), size
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
