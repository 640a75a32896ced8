package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
)

// Template is what an instance of a program was once it was initialised: its memory and
// its mutable globals. Nothing else of an instance can change in programs that have a
// template. It is safe for concurrent use.
type Template struct {
	program *Program
	image   *snapshot.Image
	globals []uint64
	size    memory.Size
	kind    memory.Kind // what the image is counted for
	timed   bool        // the instance was told what time it is before

	mutex  sync.Mutex
	first  *Instance // the one that the template was made of, until it is handed out
	closed bool
}

// NewTemplate makes an instance, has it initialised, and keeps what it is then, which is
// counted for a kind of memory. The context is that of a Call. The error is one of init or of
// Instantiate, or says why there can be no template.
func (p *Program) NewTemplate(ctx context.Context, kind memory.Kind, init func(*Instance) error) (*Template, error) {
	if err := p.restorable(); err != nil {
		return nil, err
	}
	instance, err := p.instantiate(ctx)
	if err != nil {
		return nil, err
	}
	if err := init(instance); err != nil {
		return nil, errors.Join(err, instance.Close(ctx))
	}
	template, err := instance.keep(kind)
	if err != nil {
		return nil, errors.Join(err, instance.Close(ctx))
	}
	template.first, template.timed = instance, CallFrom(ctx).timed
	if err := instance.become(template); err != nil {
		template.first = nil
		return nil, errors.Join(err, instance.Close(ctx), template.Close(ctx))
	}
	return template, nil
}

// restorable says why instances cannot be put back to what they were.
func (p *Program) restorable() error {
	switch {
	case p.runtime.memory == nil:
		return errors.New("memory cannot be restored on this system")
	case p.unrestorable != "":
		return fmt.Errorf("module uses %s, which cannot be put back", p.unrestorable)
	default:
		return nil
	}
}

// keep makes a template of what the instance is now. An image that all instances of a module
// share is the module's, one that some can do without that of guests.
func (i *Instance) keep(kind memory.Kind) (*Template, error) {
	image, err := i.memory.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("keep memory of module: %w", err)
	}
	runtime, size := i.program.runtime, memory.Size{Mapped: int64(image.Len())}
	free := runtime.reclaim
	if kind == memory.Modules {
		free = nil // guests have a part of their own
	}
	if err := runtime.budget.TakeOrFree(kind, size, free); err != nil {
		return nil, errors.Join(err, image.Close())
	}
	template := &Template{program: i.program, image: image, size: size, kind: kind}
	for _, global := range i.globals {
		template.globals = append(template.globals, global.Get())
	}
	runtime.templates.keep(template)
	return template, nil
}

// instantiate makes an instance that can become one of a template.
func (p *Program) instantiate(ctx context.Context) (*Instance, error) {
	var mapped *snapshot.Memory
	var reserve error
	instance, err := p.instantiateIn(ctx, &linearMemory{
		budget: p.runtime.budget, reclaim: p.runtime.reclaim, mapped: true,
		backing: experimental.MemoryAllocatorFunc(func(least, most uint64) experimental.LinearMemory {
			if mapped, reserve = p.runtime.memory.NewMemory(most); reserve != nil {
				return &heap{content: make([]byte, 0, least)}
			}
			return mapped
		}),
	})
	if err != nil {
		return nil, err
	}
	instance.memory = mapped
	for _, name := range p.globals {
		global, mutable := instance.module.ExportedGlobal(name).(api.MutableGlobal)
		if !mutable {
			reserve = errors.Join(reserve, fmt.Errorf("global %s is not exported", name))
			continue
		}
		instance.globals = append(instance.globals, global)
	}
	if reserve != nil {
		return nil, errors.Join(reserve, instance.Close(ctx))
	}
	return instance, nil
}

// heap is a memory for an instance that is given up as soon as it was made: wazero has no
// way to say that there is none.
type heap struct{ content []byte }

func (h *heap) Reallocate(size uint64) []byte {
	if size > uint64(len(h.content)) {
		h.content = append(h.content, make([]byte, size-uint64(len(h.content)))...)
	}
	return h.content[:size]
}

func (h *heap) Free() { h.content = nil }

// Instantiate makes an instance that is as the template's was, and idle. The context is that
// of a Call.
func (t *Template) Instantiate(ctx context.Context) (*Instance, error) {
	t.mutex.Lock()
	first := t.first
	t.first = nil
	t.mutex.Unlock()
	if first != nil {
		return first, nil
	}
	instance, err := t.program.instantiate(ctx)
	if err != nil {
		return nil, err
	}
	if err := instance.become(t); err != nil {
		return nil, errors.Join(&HostError{Err: err}, instance.Close(ctx))
	}
	return instance, nil
}

// Bytes is what the template takes of the memory that it is counted for.
func (t *Template) Bytes() int64 { return t.size.Total() }

// Close gives the template back. All of its instances must have been closed. It may be
// called again.
func (t *Template) Close(ctx context.Context) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.program.runtime.templates.forget(t)
	var err error
	if t.first != nil {
		err = t.first.Close(ctx)
		t.first = nil
	}
	t.program.runtime.budget.Give(t.kind, t.size)
	return errors.Join(err, t.image.Close())
}

// templates are those that were not closed yet.
type templates struct {
	mutex sync.Mutex
	open  map[*Template]struct{}
}

func (t *templates) keep(template *Template) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.open == nil {
		t.open = map[*Template]struct{}{}
	}
	t.open[template] = struct{}{}
}

func (t *templates) forget(template *Template) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	delete(t.open, template)
}

// close closes those that nobody has closed.
func (t *templates) close(ctx context.Context) error {
	t.mutex.Lock()
	left := slices.Collect(maps.Keys(t.open))
	t.mutex.Unlock()
	var err error
	for _, template := range left {
		err = errors.Join(err, template.Close(ctx))
	}
	return err
}

// become makes an instance what the template is. It is idle then.
func (i *Instance) become(template *Template) error {
	i.template = template
	if err := i.memory.Adopt(template.image); err != nil {
		return err
	}
	i.linear.hold(0) // its pages are those of the image now
	return i.settle()
}

// Restore makes an instance of a template what it was when it was new. It is idle then, and
// counted with the pages that it has of its own. The context is that of the call that it is
// put back after. After an error it cannot be used any more.
func (i *Instance) Restore(ctx context.Context) (snapshot.Restored, error) {
	restored, err := i.memory.Restore(CallFrom(ctx).settled)
	if err != nil {
		return restored, err
	}
	if err := i.settle(); err != nil {
		return restored, err
	}
	own := 0
	if !restored.Dropped {
		own = restored.Pages * i.program.runtime.memory.PageSize()
	}
	i.linear.hold(uint64(own))
	return restored, nil
}

// Wake makes an idle instance ready for a call, whose context it is given: all of its memory
// is counted. An error is a *memory.OverError, and the instance is as idle as before.
func (i *Instance) Wake(ctx context.Context) error {
	if err := i.linear.take(uint64(i.module.Memory().Size())); err != nil {
		return err
	}
	if CallFrom(ctx).settled {
		i.memory.Watch()
	}
	return nil
}

// ErrMemoryLimit says that a memory cannot be put back to its length: it has grown to its
// limit, so that wazero grows it no more and does not shrink it either.
var ErrMemoryLimit = errors.New("memory has grown to its limit")

// settle puts back all but the content of the memory.
func (i *Instance) settle() error {
	if i.memory.Grown() {
		i.memory.Force()
		if _, grown := i.module.Memory().Grow(1); !grown {
			return ErrMemoryLimit
		}
	}
	for k, global := range i.globals {
		global.Set(i.template.globals[k])
	}
	return nil
}

// Check compares a restored instance with its template. It reads all of its memory.
func (i *Instance) Check() error {
	if i.memory.Grown() || uint64(i.module.Memory().Size()) != uint64(i.template.image.Len()) {
		return fmt.Errorf("restored memory has %d bytes, want %d", i.module.Memory().Size(), i.template.image.Len())
	}
	for k, global := range i.globals {
		if got, want := global.Get(), i.template.globals[k]; got != want {
			return fmt.Errorf("restored global %s is %#x, want %#x", i.program.globals[k], got, want)
		}
	}
	return i.memory.Check()
}
