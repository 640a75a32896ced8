package sandbox

import (
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// pageBytes is the size of a page of WebAssembly.
const pageBytes = 64 << 10

// linearMemory counts the memory of one instance in a budget. When the budget has no more,
// the guest sees its growth refused, and the call knows why.
type linearMemory struct {
	budget *memory.Budget
	// reclaim frees memory of others, see Config.Reclaim.
	reclaim func() bool
	// mapped says that the memory lies outside of Go's heap.
	mapped bool
	// backing makes the memory itself.
	backing experimental.MemoryAllocator

	inner experimental.LinearMemory
	call  *Call // the one that runs, or nil
	held  atomic.Int64
}

var (
	_ experimental.MemoryAllocator = (*linearMemory)(nil)
	_ experimental.LinearMemory    = (*linearMemory)(nil)
)

// onHeap makes memories that are Go's to collect.
var onHeap = experimental.MemoryAllocatorFunc(func(least, _ uint64) experimental.LinearMemory {
	return &heap{content: make([]byte, 0, least)}
})

// leastMapped is from which size on a memory for one call is dearer on Go's heap, where all of it
// is cleared, and copied when it grows, than outside of it, where each page that is touched
// costs a fault.
const leastMapped = 1 << 20

// outsideOfHeap makes memories in address space of their own; on Go's heap all the same where
// there is no more of that.
func (r *Runtime) outsideOfHeap(least, most uint64) experimental.LinearMemory {
	mapped, err := r.memory.NewMemory(most)
	if err != nil {
		return onHeap.Allocate(least, most)
	}
	return mapped
}

// Allocate is called once, by the instance that the memory is for.
func (l *linearMemory) Allocate(least, most uint64) experimental.LinearMemory {
	l.inner = l.backing.Allocate(least, most)
	return l
}

// Reallocate changes the length; nil is a refusal. What a memory has in the beginning is
// taken before its instance is made, since it cannot be refused here.
func (l *linearMemory) Reallocate(size uint64) []byte {
	if err := l.take(size); err != nil {
		if l.call != nil {
			l.call.refused = err
		}
		return nil
	}
	content := l.inner.Reallocate(size)
	l.hold(uint64(len(content))) // a memory that is put back becomes shorter
	return content
}

// take counts a length that is longer than before. An error is a *memory.OverError.
func (l *linearMemory) take(length uint64) error {
	missing := int64(length) - l.held.Load()
	if missing <= 0 {
		return nil
	}
	if err := l.budget.TakeOrFree(memory.Guests, l.size(missing), l.reclaim); err != nil {
		return err
	}
	l.held.Add(missing)
	return nil
}

// hold gives back what is counted beyond a length. An instance that runs may have copied all
// of its image; one that is idle has copied as many pages as were put back.
func (l *linearMemory) hold(length uint64) {
	if unused := l.held.Load() - int64(length); unused > 0 {
		l.held.Add(-unused)
		l.budget.Give(memory.Guests, l.size(unused))
	}
}

func (l *linearMemory) size(bytes int64) memory.Size {
	if l.mapped {
		return memory.Size{Mapped: bytes}
	}
	return memory.Size{Heap: bytes}
}

// Free gives the memory back, where there is any. It may be called more than once: wazero does
// not free the memory of an instance that it could not make.
func (l *linearMemory) Free() {
	if l.inner != nil {
		l.inner.Free()
	}
	if held := l.held.Swap(0); held > 0 {
		l.budget.Give(memory.Guests, l.size(held))
	}
}
