package memory

import (
	"fmt"
	"sync"
)

// Size is memory of the engine, in bytes.
type Size struct {
	// Mapped is outside of Go's heap, Heap is in it.
	Mapped, Heap int64
}

// Total is both.
func (s Size) Total() int64 { return s.Mapped + s.Heap }

// Kind is what the engine has memory for.
type Kind int

// Kinds of memory.
const (
	// Modules are compiled ones.
	Modules Kind = iota
	// Guests are the memories of instances that are being asked.
	Guests
	// Objects are those of a cluster that are kept for policies that read them.
	Objects

	kinds = iota
)

// Kinds are all kinds of memory.
func Kinds() []Kind { return []Kind{Modules, Guests, Objects} }

// String is the kind's name in metrics.
func (k Kind) String() string { return [kinds]string{"modules", "guests", "objects"}[k] }

// Usage is what there is of one kind, in bytes.
type Usage struct {
	// Held is what the engine holds.
	Held int64
	// Allowed is what it may; 0 for no bound.
	Allowed int64
	// Refused counts the refusals.
	Refused int64
}

// OverError says that there is no room. Sizes are in bytes.
type OverError struct {
	// Kind is what for, Needed how much was asked for.
	Kind   Kind
	Needed int64
	// Held and Allowed are those of Usage, Limit that of the container.
	Held, Allowed, Limit int64
}

// Error names needed, held, allowed and limit.
func (e *OverError) Error() string {
	who, what := "the module needs", "modules"
	switch e.Kind {
	case Modules:
	case Guests:
		who, what = "the policy needs", "running policies"
	case Objects:
		who, what = "objects of the cluster need", "those that are kept"
	}
	return fmt.Sprintf("%s %s of memory; %s have %s of the %s that are allowed by the memory limit of %s",
		who, Mebibytes(e.Needed), what, Mebibytes(e.Held), Mebibytes(e.Allowed), Mebibytes(e.Limit))
}

// Mebibytes is a number of bytes as messages have it.
func Mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/mebibyte) }

// Budget counts what the engine holds. A nil one, and one of a plan without a limit, never
// refuse. It is safe for concurrent use.
type Budget struct {
	plan    Plan
	changed func(goLimit int64)

	mu      sync.Mutex
	held    [kinds]Size
	refused [kinds]int64
	told    int64 // the bytes outside of Go's heap that changed was told last
}

// NewBudget makes a budget; changed, if not nil, is told Go's memory limit at once and
// whenever the bytes outside of Go's heap have changed: those of guests by more than a
// hundredth of the limit, since they take and give some with every call. It must not call
// the budget.
func NewBudget(plan Plan, changed func(goLimit int64)) *Budget {
	budget := &Budget{plan: plan, changed: changed}
	budget.tell()
	return budget
}

func (b *Budget) tell() {
	mapped := b.mapped()
	if b.changed != nil {
		b.told = mapped
		b.changed(b.plan.GoLimit(mapped))
	}
}

// mapped is what is held outside of Go's heap.
func (b *Budget) mapped() (bytes int64) {
	for _, held := range b.held {
		bytes += held.Mapped
	}
	return bytes
}

// tellMuch tells what is worth it.
func (b *Budget) tellMuch(changed Kind) {
	since := b.mapped() - b.told
	if changed == Modules || max(since, -since) > b.plan.Limit/100 {
		b.tell()
	}
}

// Plan is what was given to NewBudget.
func (b *Budget) Plan() Plan {
	if b == nil {
		return Plan{}
	}
	return b.plan
}

// Take counts memory that is about to be used; Give has to be called when it is no longer.
// An error is an *OverError, and nothing is counted.
func (b *Budget) Take(kind Kind, size Size) error {
	return b.TakeOrFree(kind, size, nil)
}

// TakeOrFree is Take for those who can do without something: as long as there is no room, it
// has them free memory, until they answer that there was nothing to free.
func (b *Budget) TakeOrFree(kind Kind, size Size, free func() bool) error {
	if b == nil {
		return nil
	}
	for {
		over := b.take(kind, size, free == nil)
		if over == nil {
			return nil
		}
		if free == nil {
			return over
		}
		if !free() {
			free = nil // the others may have given something back
		}
	}
}

// take is nil when there was room. A refusal that is final is counted.
func (b *Budget) take(kind Kind, size Size, final bool) *OverError {
	b.mu.Lock()
	defer b.mu.Unlock()
	held, allowed := b.held[kind].Total(), b.allowed(kind)
	if b.plan.Limit > 0 && size.Total() > allowed-held {
		if final {
			b.refused[kind]++
		}
		return &OverError{Kind: kind, Needed: size.Total(), Held: held, Allowed: allowed, Limit: b.plan.Limit}
	}
	b.add(kind, size)
	return nil
}

// Give takes back what Take has counted.
func (b *Budget) Give(kind Kind, size Size) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(kind, Size{Mapped: -size.Mapped, Heap: -size.Heap})
}

func (b *Budget) add(kind Kind, size Size) {
	b.held[kind].Mapped += size.Mapped
	b.held[kind].Heap += size.Heap
	if size.Mapped != 0 {
		b.tellMuch(kind)
	}
}

func (b *Budget) allowed(kind Kind) int64 {
	return [kinds]int64{b.plan.Modules, b.plan.Guests, b.plan.Objects}[kind]
}

// Usage is what there is of a kind.
func (b *Budget) Usage(kind Kind) Usage {
	if b == nil {
		return Usage{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return Usage{Held: b.held[kind].Total(), Allowed: b.allowed(kind), Refused: b.refused[kind]}
}
