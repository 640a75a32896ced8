package policy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// DefaultMemoryLimitPages bounds an instance's linear memory when Config does not:
// 4096 pages of 64 KiB are 256 MiB.
const DefaultMemoryLimitPages = 4096

// Config is what an Engine is made from. The zero value works.
type Config struct {
	// CacheDir is where compiled modules are kept between processes; "" keeps them in
	// memory. Whoever can write there can run code in this process: the directory is
	// made with mode 0700 and is never to be shared.
	CacheDir string
	// MemoryLimitPages bounds the linear memory of one instance, in pages of 64 KiB. A
	// guest that wants more sees its growth refused. 0 means DefaultMemoryLimitPages.
	MemoryLimitPages uint32
	// Capabilities serve host calls, by namespace ("kubernetes", "oci", "net", "crypto").
	// A namespace that is missing here answers a guest that it is not provided.
	Capabilities map[string]host.Capability
	// Logger takes what guests log; nil discards it.
	Logger *slog.Logger
	// Now is the clock that deadlines are measured by; nil means the system's.
	Now func() time.Time
	// KubewardenVersion is compared with what a module's metadata asks for at least,
	// "1.37.2" for example; "" compares nothing.
	KubewardenVersion string
}

// Engine compiles modules. It is safe for concurrent use.
type Engine struct {
	config Config
}

// NewEngine makes an engine. It must be closed.
func NewEngine(ctx context.Context, config Config) (*Engine, error) {
	_ = ctx
	return &Engine{config: config}, nil
}

// Compile reads the module's metadata, rewrites it so that it can be interrupted, and
// compiles it. The bytes are not kept. An *Error of KindInvalidModule says what is wrong
// with the module.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Module, error) {
	_, _ = ctx, wasm
	return nil, &Error{Kind: KindInternal, Message: "compile module", Err: errors.ErrUnsupported}
}

// Close gives back everything that the engine holds. Modules must not be used after it.
func (e *Engine) Close(ctx context.Context) error {
	_ = ctx
	return nil
}
