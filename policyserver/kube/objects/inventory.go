package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

var _ host.Inventory = (*Capability)(nil)

// document is what policies in Rego get that read the same kinds. It is made again when
// something has changed and somebody asks.
type document struct {
	lastUsed time.Time // guarded by the watches

	mu      sync.Mutex
	parts   []part // of which the content was made
	content []byte
	room    *room // that has its bytes; nil for no bound
}

// reads says whether the content was made of a kind, unless it is being made.
func (d *document) reads(resource host.Resource) bool {
	if !d.mu.TryLock() {
		return false
	}
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.parts, func(part part) bool { return part.store.kind.Resource == resource })
}

// part is a kind as it was at one time.
type part struct {
	store      *store
	generation uint64
}

// Inventory is all objects of the kinds that the policy was granted.
func (c *Capability) Inventory(ctx context.Context, request host.Request, form host.Form) ([]byte, error) {
	resources := request.Grants.Resources()
	found := make([]kind, 0, len(resources))
	key := []string{string(form)}
	for _, resource := range resources {
		if err := request.CheckRead(resource, host.ScopeCluster); err != nil {
			return nil, err
		}
		kind, err := c.kinds.find(ctx, resource)
		if err != nil {
			return nil, err
		}
		if _, err := c.watches.begin(kind); err != nil { // all at the same time, then wait for each
			return nil, err
		}
		found, key = append(found, kind), append(key, kind.APIVersion, kind.Kind)
	}
	for {
		stores := make([]*store, 0, len(found))
		for _, kind := range found {
			store, err := c.watches.read(ctx, kind)
			if err != nil {
				return nil, err
			}
			stores = append(stores, store)
		}
		content, err := c.watches.document(keyOf(key...)).of(form, stores)
		if !errors.Is(err, errForgotten) {
			return content, err
		}
	}
}

// document gives the document with that key, which may be empty yet.
func (w *watches) document(key string) *document {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := w.documents[key]
	if found == nil {
		found = &document{room: &room{budget: w.config.Memory, free: func() bool { return w.freeFor(nil) }}}
		w.documents[key] = found
	}
	found.lastUsed = w.config.Now()
	return found
}

// of is the content, made of what the stores hold now.
func (d *document) of(form host.Form, stores []*store) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts, items := make([]part, 0, len(stores)), make([][]item, 0, len(stores))
	for _, store := range stores {
		all, generation, err := store.all()
		if err != nil {
			return nil, err
		}
		parts, items = append(parts, part{store, generation}), append(items, all)
	}
	if d.content != nil && slices.Equal(d.parts, parts) {
		return d.content, nil
	}
	root := &tree{}
	for i, store := range stores {
		if err := arrangements[form](root, store.kind, items[i]); err != nil {
			return nil, err
		}
	}
	content, err := root.append(nil)
	if err != nil {
		return nil, err
	}
	if err := d.room.take(len(content) - len(d.content)); err != nil {
		return nil, fmt.Errorf("the data for policies in Rego, of %s, has %s: %w", kindsOf(stores), memory.Mebibytes(int64(len(content))), err)
	}
	d.parts, d.content = parts, content
	return content, nil
}

// kindsOf names what stores hold.
func kindsOf(stores []*store) string {
	names := make([]string, 0, len(stores))
	for _, store := range stores {
		names = append(names, store.kind.String())
	}
	return strings.Join(names, ", ")
}

// arrangements put objects where guests look for them, as upstream does.
var arrangements = map[host.Form]func(root *tree, kind kind, items []item) error{
	// <plural>.<namespace>.<name>, or <plural>.<name>
	host.FormOPA: func(root *tree, kind kind, items []item) error {
		plural := root.at(kind.resource.Resource)
		if plural.scope != "" && plural.scope != kind.scope() {
			return fmt.Errorf("%s is in the data twice: as kinds that are in namespaces, and as others that are not", kind.resource.Resource)
		}
		plural.scope = kind.scope()
		for _, next := range items {
			if kind.namespaced {
				plural.at(next.namespace, next.name).object = next.raw
			} else {
				plural.at(next.name).object = next.raw
			}
		}
		return nil
	},
	// cluster.<apiVersion>.<kind>.<name>, or namespace.<namespace>.<apiVersion>.<kind>.<name>
	host.FormGatekeeper: func(root *tree, kind kind, items []item) error {
		cluster, namespaces := root.at("cluster"), root.at("namespace")
		for _, next := range items {
			if kind.namespaced {
				namespaces.at(next.namespace, kind.APIVersion, kind.Kind, next.name).object = next.raw
			} else {
				cluster.at(kind.APIVersion, kind.Kind, next.name).object = next.raw
			}
		}
		return nil
	},
}

func (k kind) scope() string {
	if k.namespaced {
		return "namespace"
	}
	return "cluster"
}

// tree is a JSON object whose leaves are JSON already.
type tree struct {
	members map[string]*tree
	object  []byte
	scope   string // of the kinds below, if that matters
}

// at is the node at the end of a path, which is made if there is none.
func (t *tree) at(path ...string) *tree {
	for _, name := range path {
		next := t.members[name]
		if next == nil {
			next = &tree{}
			if t.members == nil {
				t.members = map[string]*tree{}
			}
			t.members[name] = next
		}
		t = next
	}
	return t
}

func (t *tree) append(to []byte) ([]byte, error) {
	if t.object != nil {
		return append(to, t.object...), nil
	}
	to = append(to, '{')
	for i, name := range slices.Sorted(maps.Keys(t.members)) {
		if i > 0 {
			to = append(to, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("encode name %q: %w", name, err)
		}
		to = append(append(to, key...), ':')
		if to, err = t.members[name].append(to); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}
