package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
)

// features are what compilers and optimisers of policies emit: WebAssembly 2.0, and the
// tail calls, typed function references and extended constants of `wasm-opt
// --all-features`, which upstream's release builds run. Go guests since Go 1.26 need typed
// function references, too.
const features = api.CoreFeaturesV2 |
	experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesTypedFunctionReferences |
	experimental.CoreFeaturesExtendedConst

// Config is what a Runtime is made from.
type Config struct {
	// CacheDir keeps compiled modules between processes; "" keeps them in memory.
	CacheDir string
	// MemoryLimitPages bounds the linear memory of an instance, in pages of 64 KiB.
	MemoryLimitPages uint32
	// Budget counts compiled modules and the memories of instances; nil does not.
	Budget *memory.Budget
	// Reclaim frees memory of guests that can be done without when Budget has no more, and
	// says whether there was any; nil for none. It is called while a guest runs.
	Reclaim func() bool
	// Modules are what guests may import.
	Modules []HostModule
	// Memory is for templates; nil where memory cannot be restored.
	Memory *snapshot.System
	// Now is the clock that deadlines are measured by.
	Now func() time.Time
}

// Runtime compiles modules and runs them. It is safe for concurrent use.
type Runtime struct {
	wazero wazero.Runtime
	cache  wazero.CompilationCache
	budget *memory.Budget
	// reclaim is that of Config.
	reclaim func() bool
	memory  *snapshot.System
	now     func() time.Time
	// large lets one large module in at a time: compiling takes a hundred times its size
	// in memory.
	large        chan struct{}
	templates    templates
	compilations compilations
}

// New makes a runtime. It must be closed.
func New(ctx context.Context, config Config) (*Runtime, error) {
	cache, err := newCache(config.CacheDir)
	if err != nil {
		return nil, err
	}
	runtime := &Runtime{
		cache:  cache,
		budget: config.Budget, reclaim: config.Reclaim,
		memory: config.Memory,
		now:    config.Now,
		large:  make(chan struct{}, 1),
		wazero: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
			WithCoreFeatures(features).
			WithMemoryLimitPages(config.MemoryLimitPages).
			WithCompilationCache(cache).
			WithDebugInfoEnabled(false)),
	}
	err = errors.Join(runtime.provideFuel(ctx), runtime.providePark(ctx))
	for _, module := range config.Modules {
		if err == nil {
			err = runtime.provide(ctx, module)
		}
	}
	if err == nil {
		err = runtime.compilations.open(config.CacheDir)
	}
	if err != nil {
		return nil, errors.Join(err, runtime.Close(ctx))
	}
	return runtime, nil
}

// newCache opens the compilation cache. Its files are run as machine code and protected by
// nothing but a checksum: a directory that others may write to is refused.
func newCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make compilation cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("inspect compilation cache: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("compilation cache %s has mode %v: others may write to it, want %v", dir, mode, fs.FileMode(0o700))
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open compilation cache: %w", err)
	}
	return cache, nil
}

// Close gives everything back. No guest may be running.
func (r *Runtime) Close(ctx context.Context) error {
	return errors.Join(r.wazero.Close(ctx), r.cache.Close(ctx), r.templates.close(ctx))
}
