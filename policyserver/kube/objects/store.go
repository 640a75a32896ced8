package objects

import (
	"bytes"
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
	generation uint64            // counts changes
	sorted     []item            // nil after a change
	replies    map[string][]byte // by key of the list; empty after a change
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
	s.changed()
	return nil
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
	s.items, s.bytes = items, size
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
	s.sorted, s.replies = nil, nil
}

// all are the items in order, and the number of changes that led to them. The caller must
// not change the list.
func (s *store) all() ([]item, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ordered(), s.generation
}

func (s *store) ordered() []item {
	if s.sorted == nil {
		s.sorted = slices.SortedFunc(maps.Values(s.items), compare)
	}
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
	var reply bytes.Buffer
	head, err := json.Marshal(map[string]any{"apiVersion": l.APIVersion, "kind": l.Kind + "List", "metadata": struct{}{}})
	if err != nil {
		return nil, fmt.Errorf("encode list: %w", err)
	}
	reply.Write(head[:len(head)-1])
	reply.WriteString(`,"items":[`)
	separator := ""
	for _, next := range items {
		if !l.selects(next) {
			continue
		}
		raw, err := l.masks.prune(next.raw)
		if err != nil {
			return nil, err
		}
		reply.WriteString(separator)
		reply.Write(raw)
		separator = ","
	}
	reply.WriteString("]}")
	return reply.Bytes(), nil
}

// selects says whether an item is asked for. Fields that are not known here were selected by
// the API server.
func (l list) selects(next item) bool {
	if l.Namespace != "" && next.namespace != l.Namespace || !l.labels.Matches(next.labels) {
		return false
	}
	return !l.fields.inMemory || l.fields.selector.Matches(fields.Set{"metadata.name": next.name, "metadata.namespace": next.namespace})
}
