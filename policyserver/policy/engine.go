package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// DefaultMemoryLimitPages bounds an instance's linear memory when Config does not:
// 4096 pages of 64 KiB are 256 MiB, four times what the hungriest known policy takes.
const DefaultMemoryLimitPages = 4096

// CompatibleVersion is the Kubewarden release whose behaviour towards policies this engine
// has. A policy that asks for a later one at least is refused.
const CompatibleVersion = "1.37.2"

// Config is what an Engine is made from. The zero value works.
type Config struct {
	// CacheDir is where compiled modules are kept between processes; "" keeps them in
	// memory. Whoever can write there can run code in this process: the directory is made
	// with mode 0700, one that others may write to is refused, and it is never to be
	// shared.
	CacheDir string
	// MemoryLimitPages bounds the linear memory of one instance, in pages of 64 KiB. A
	// guest that wants more sees its growth refused; a module that wants more from the
	// start does not load. 0 means DefaultMemoryLimitPages.
	MemoryLimitPages uint32
	// Isolation is how each call gets an instance of its own; "" means IsolationPristine.
	Isolation Isolation
	// Snapshots finds out how memory can be restored here; nil means snapshot.Open. When it
	// fails, all instances are fresh.
	Snapshots func() (*snapshot.System, error)
	// LoadTimeout bounds what a module does while it is loaded: it is asked for lists, and
	// initialised to see whether its instances can be put back. 0 means 10 s.
	LoadTimeout time.Duration
	// Memory counts what modules and running guests take, and refuses what is too much; nil
	// does not.
	Memory *memory.Budget
	// Capabilities serve host calls, by namespace ("kubernetes", "oci", "net", "crypto").
	// A namespace that is missing here answers a guest that it is not provided.
	Capabilities map[string]host.Capability
	// HostLimits bound what guests send to capabilities and get from them.
	HostLimits host.Limits
	// HostCalls is told of what guests ask of the host; nil for nobody.
	HostCalls host.Observer
	// HostTrace follows what guests ask of the host; nil does not.
	HostTrace host.Trace
	// Processors bounds the guests that run at the same time, but for those that wait for a
	// capability; 0 does not. It is to be less than GOMAXPROCS: a guest keeps its processor,
	// and somebody has to look at the network.
	Processors int
	// MaxIdle bounds the instances that wait for a call, of all modules together; 0 means 64
	// for each processor, and at least 256.
	MaxIdle int
	// WarmUp is how many made-up requests warm instances have answered, whatever that gains; 0
	// chooses the number by measuring, see Module.Isolate.
	WarmUp int
	// Logger takes what guests log; nil discards it.
	Logger *slog.Logger
	// Now is the clock that deadlines are measured by; nil means the system's.
	Now func() time.Time
}

// Engine compiles modules. It is safe for concurrent use.
type Engine struct {
	runtime    *sandbox.Runtime
	memory     *snapshot.System // nil: instances are fresh
	budget     *memory.Budget
	processors *processors
	stock      *stock
	datasets   *datasets
	counts     counts
	dispatcher *host.Dispatcher
	// nobody is the host to guests that are asked on nobody's behalf: it grants nothing and
	// logs nothing.
	nobody   *host.Dispatcher
	logger   *slog.Logger
	now      func() time.Time
	warmUp   int           // as in Config
	patience time.Duration // with a module that is loaded
	calls    *users
	idle     chan struct{} // closed when no call runs and none will
}

// NewEngine makes an engine. It must be closed.
func NewEngine(ctx context.Context, config Config) (*Engine, error) {
	if config.MemoryLimitPages == 0 {
		config.MemoryLimitPages = DefaultMemoryLimitPages
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now //nolint:forbidigo // the default of the injected clock
	}
	restorable, err := openMemory(ctx, config)
	if err != nil {
		return nil, &Error{Kind: KindInternal, Message: err.Error()}
	}
	idle := make(chan struct{})
	engine := &Engine{
		memory:     restorable,
		budget:     config.Memory,
		processors: newProcessors(config.Processors),
		logger:     config.Logger,
		now:        config.Now,
		warmUp:     config.WarmUp,
		nobody:     host.NewDispatcher(nil, slog.New(slog.DiscardHandler)),
		patience:   cmp.Or(config.LoadTimeout, loadTimeout),
		calls:      newUsers(func() { close(idle) }),
		idle:       idle,
	}
	engine.counts.notWarm = make(map[NotWarm]*atomic.Uint64, len(reasonsNotWarm))
	for _, reason := range reasonsNotWarm {
		engine.counts.notWarm[reason] = new(atomic.Uint64)
	}
	engine.stock = newStock(cmp.Or(config.MaxIdle, mostIdle()), engine.giveUp)
	engine.datasets = newDatasets(engine, config.Now)
	engine.runtime, err = sandbox.New(ctx, sandbox.Config{
		CacheDir:         config.CacheDir,
		MemoryLimitPages: config.MemoryLimitPages,
		Budget:           config.Memory,
		Reclaim:          engine.reclaim,

		Modules: append(wasi.HostModules(), wasi.Module(), wapc.Module(), rego.Module()),
		Memory:  restorable,
		Now:     config.Now,
	})
	if err != nil {
		err = errors.Join(err, closeMemory(restorable))
		return nil, &Error{Kind: KindInternal, Message: "start policy engine", Err: err}
	}
	engine.dispatcher = host.NewDispatcher(config.Capabilities, config.Logger)
	engine.dispatcher.Limit(config.HostLimits)
	engine.dispatcher.Trace(config.HostTrace)
	if config.HostCalls != nil {
		engine.dispatcher.Observe(config.HostCalls, config.Now)
	}
	return engine, nil
}

// Compile reads the module's metadata, rewrites it so that it can be interrupted, and
// compiles it. The bytes are not kept. An *Error of KindInvalidModule says what is wrong
// with the module, one of KindNoRoom that there is no memory for it; that one wraps a
// *memory.OverError.
//
// Compiling cannot be interrupted: ctx only ends the wait for another large module.
func (e *Engine) Compile(ctx context.Context, binary []byte) (*Module, error) {
	if !e.calls.enter() {
		return nil, closed("engine")
	}
	defer e.calls.leave()
	described, err := readMetadata(binary)
	if err != nil {
		return nil, &Error{Kind: KindInvalidModule, Message: err.Error()}
	}
	rewriteAndCompile := e.runtime.Compile
	if described.ExecutionMode == metadata.ModeWASI {
		rewriteAndCompile = e.runtime.CompileCommand
	}
	program, err := rewriteAndCompile(ctx, binary)
	if err != nil {
		return nil, compileError(err)
	}
	guest, err := e.load(ctx, described.ExecutionMode, program)
	if err != nil {
		return nil, compileError(errors.Join(err, program.Close(ctx)))
	}
	instances, err := e.instancesFor(ctx, guest, program)
	if err != nil {
		return nil, compileError(errors.Join(err, program.Close(ctx)))
	}
	module := &Module{
		engine:    e,
		guest:     guest,
		program:   program,
		instances: instances,
		settings:  e.settingsInstances(guest, program, instances),
		metadata:  described,
		bytes:     program.Size().Total() + instances.bytes(),
	}
	module.calls = newUsers(func() {
		ctx := context.WithoutCancel(ctx)
		e.datasets.forget(module)
		if err := errors.Join(instances.close(ctx), program.Close(ctx)); err != nil {
			e.logger.LogAttrs(ctx, slog.LevelError, "close module", slog.String("error", err.Error()))
		}
	})
	return module, nil
}

// loadTimeout is LoadTimeout where nothing else is said.
const loadTimeout = 10 * time.Second

// load makes the guest of a program, which may have to be run for that.
func (e *Engine) load(ctx context.Context, mode metadata.ExecutionMode, program *sandbox.Program) (guest, error) {
	limited, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	limited, call := e.runtime.Begin(limited)
	guest, err := guestFor(limited, mode, program)
	if errors.Is(err, sandbox.ErrDeadline) {
		callers, given := ctx.Deadline()
		if deadline, _ := call.Deadline(); !given || deadline.Before(callers) {
			return nil, fmt.Errorf("module was not ready within %v", e.patience)
		}
	}
	return guest, err
}

// readMetadata reads what the module says of itself and whether that fits this engine.
func readMetadata(binary []byte) (Metadata, error) {
	module, err := wasm.Parse(binary)
	if err != nil {
		return Metadata{}, fmt.Errorf("read module: %w", err)
	}
	described := metadata.Default()
	if payload, present := module.CustomSection(metadata.Section); present {
		if described, err = metadata.Decode(payload); err != nil {
			return Metadata{}, fmt.Errorf("cannot deserialize custom section `%s` of wasm module: %w", metadata.Section, err)
		}
	}
	return described, described.CheckRunnable(CompatibleVersion)
}

func compileError(err error) *Error {
	var cache *fs.PathError
	var missing *rego.MissingError
	var over *memory.OverError
	switch {
	case errors.As(err, &over) && over.Kind == memory.Modules:
		return &Error{Kind: KindNoRoom, Message: over.Error(), Err: over}
	case errors.As(err, &over):
		return &Error{Kind: KindUnavailable, Message: over.Error(), Err: over}
	case errors.As(err, &missing):
		return &Error{Kind: KindInvalidModule, Message: missing.Error()}
	case errors.As(err, &cache):
		return &Error{Kind: KindInternal, Message: "use compilation cache", Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, sandbox.ErrCanceled), errors.Is(err, sandbox.ErrDeadline):
		return &Error{Kind: KindUnavailable, Message: "compile module", Err: err}
	default:
		return &Error{Kind: KindInvalidModule, Message: "invalid WebAssembly module: " + err.Error()}
	}
}

// Close waits until all running calls have ended, then gives back everything that the
// engine holds. No call begins after it. The error is that of ctx when the calls do not
// end in time; the engine is not closed then, but nothing can be called any more.
func (e *Engine) Close(ctx context.Context) error {
	e.calls.close()
	select {
	case <-e.idle:
	case <-ctx.Done():
		return &Error{Kind: KindUnavailable, Message: "wait for running policies", Err: ctx.Err()}
	}
	e.datasets.close()
	if err := errors.Join(e.stock.close(ctx), e.runtime.Close(ctx), closeMemory(e.memory)); err != nil {
		return &Error{Kind: KindInternal, Message: "close policy engine", Err: err}
	}
	return nil
}

func closed(what string) *Error {
	return &Error{Kind: KindUnavailable, Message: what + " is closed"}
}
