package evaluation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// Module is a compiled policy.
type Module interface {
	Validate(ctx context.Context, call policy.Call, request json.RawMessage) (protocol.ValidationResponse, error)
	ValidateSettings(ctx context.Context, call policy.Call) (protocol.SettingsValidationResponse, error)
	// Isolate is the module for one policy, whose calls get their instances in another way. It
	// is closed by itself.
	Isolate(ctx context.Context, call policy.Call, isolation policy.Isolation) (Module, error)
	// Bytes is what the module takes of the memory for modules.
	Bytes() int64
	Close(ctx context.Context) error
}

// Fetcher gets the bytes of modules; *fetch.Client is one.
type Fetcher interface {
	// Fetch gives the module at a URL. A digest ("sha256:<hex>") that is not empty is the
	// one that the bytes must have. An error with a method Reason() contract.Reason says
	// with it whether trying again can help.
	Fetch(ctx context.Context, url, digest string) ([]byte, error)
}

// slots are for work of one kind that is done at the same time. Whoever has one must not wait
// for another.
type slots chan struct{}

// take waits for a slot; the error is that of ctx.
func (s slots) take(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case s <- struct{}{}:
		return nil
	}
}

func (s slots) give() { <-s }

// source is what an entry says about where its module comes from.
type source struct {
	url, pinned, refresh string
	// trust is that of the supply which the module is to come from.
	trust int
}

func (s source) key() string {
	return strings.Join([]string{s.url, s.pinned, s.refresh, strconv.Itoa(s.trust)}, "\x00")
}

// modules holds every compiled module once, by digest, however many policies use it.
//
// A module is closed when nobody uses it: the store itself counts as a user until sweep
// finds that no policy uses the module, each policy of a set counts, and so does each
// running request. What a source was resolved to is remembered, so that a tag that moved changes
// nothing until the entry asks for it.
type modules struct {
	config LoaderConfig
	loads  slots

	fetches, compiles singleflight.Group

	mu       sync.Mutex
	loaded   map[string]*sharedModule
	resolved map[source]string
}

// sharedModule is a module and the number of its users.
type sharedModule struct {
	Module

	digest string
	users  atomic.Int64
	log    *slog.Logger
	// of is the module that this one was isolated from for a single policy, and of which it is
	// a user; nil for all others.
	of *sharedModule
}

// isolate gives a guest a module of its own, if it is to have one, in the place of the one
// that it shares with others.
func (g *guest) isolate(ctx context.Context) error {
	if g.isolation == "" || g.isolation == policy.IsolationPristine {
		return nil
	}
	own, err := g.module.Isolate(ctx, g.call, g.isolation)
	if err != nil {
		return err
	}
	shared := g.module
	g.module = &sharedModule{Module: own, digest: shared.digest, log: shared.log, of: shared}
	g.module.users.Store(1)
	return nil
}

// acquire counts a user; false means that the module is closed already.
func (m *sharedModule) acquire() bool {
	for {
		users := m.users.Load()
		if users == 0 {
			return false
		}
		if m.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

// release ends what acquire began; the last one closes the module.
func (m *sharedModule) release() {
	if m.users.Add(-1) > 0 {
		return
	}
	if err := m.Close(context.Background()); err != nil {
		m.log.Warn("close module", "digest", m.digest, "error", err)
	}
	if m.of != nil {
		m.of.release()
	}
}

func newModules(config LoaderConfig) *modules {
	return &modules{config: config, loads: make(slots, config.Parallelism), loaded: map[string]*sharedModule{}, resolved: map[source]string{}}
}

// get gives the module of a source, with a user counted for the caller. Callers that want
// the same one at the same time share the work.
func (s *modules) get(ctx context.Context, from source, fetcher Fetcher) (*sharedModule, error) {
	for first := true; ; first = false {
		if module := s.lookup(from); module != nil {
			if first {
				s.config.Observer.ModuleInMemory()
			}
			return module, nil
		}
		flight := s.fetches.DoChan(from.key(), func() (any, error) {
			return nil, s.load(ctx, from, fetcher)
		})
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case result := <-flight:
			// Whoever began the work may have been called off; then it is our turn.
			if result.Err != nil && (ctx.Err() != nil || !errors.Is(result.Err, context.Canceled)) {
				return nil, result.Err
			}
		}
	}
}

// lookup gives a module that is loaded already, or nil.
func (s *modules) lookup(from source) *sharedModule {
	s.mu.Lock()
	digest := s.digest(from)
	s.mu.Unlock()
	return s.ofDigest(digest)
}

// ofDigest gives the module of a digest with a user counted, or nil when it is not loaded.
func (s *modules) ofDigest(digest string) *sharedModule {
	s.mu.Lock()
	defer s.mu.Unlock()
	module := s.loaded[digest]
	if module == nil || !module.acquire() {
		return nil
	}
	return module
}

// digest is what a source is known to stand for; "" when it was not asked yet. Where
// signatures are demanded only the answer of the source counts: that a pinned module is here
// says nothing about its signatures there.
func (s *modules) digest(from source) string {
	if from.pinned != "" && from.trust == noTrust {
		return from.pinned
	}
	return s.resolved[from]
}

// load fetches and compiles the module of a source, unless it is there already: a caller
// that found nothing may come here only after somebody else's work has ended. Those who wait
// for a module have no slot, so that however many they are, others are loaded.
func (s *modules) load(ctx context.Context, from source, fetcher Fetcher) error {
	if err := s.loads.take(ctx); err != nil {
		return err
	}
	defer s.loads.give()
	s.mu.Lock()
	known := s.digest(from)
	_, found := s.loaded[known]
	s.mu.Unlock()
	if found {
		return nil
	}
	started := s.config.Now()
	known = cmp.Or(known, from.pinned)
	wasm, err := fetcher.Fetch(ctx, from.url, known)
	if err != nil {
		return &fetchError{err: err}
	}
	s.observe(StepFetch, started)
	sum := sha256.Sum256(wasm)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if known != "" && digest != known {
		return &loadError{reason: contract.ReasonInvalidModule, message: "the module has digest " + digest + ", want " + known}
	}
	if _, err, _ := s.compiles.Do(digest, func() (any, error) { return nil, s.compile(ctx, digest, wasm) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resolved[from] = digest
	return nil
}

// compile compiles a module unless it is there already.
func (s *modules) compile(ctx context.Context, digest string, wasm []byte) error {
	s.mu.Lock()
	_, found := s.loaded[digest]
	s.mu.Unlock()
	if found {
		return nil
	}
	started := s.config.Now()
	compiled, err := s.config.Compile(ctx, wasm)
	if err != nil {
		return err
	}
	s.observe(StepCompile, started)
	module := &sharedModule{Module: compiled, digest: digest, log: s.config.Logger}
	module.users.Store(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded[digest] = module
	return nil
}

// sweep lets go of the modules that no policy uses (used holds digests), and forgets what
// sources that no entry has any more were resolved to. Run beside get it would let go of
// what get has just loaded.
func (s *modules) sweep(wanted map[source]bool, used map[string]bool) {
	s.mu.Lock()
	var unused []*sharedModule
	for digest, module := range s.loaded {
		if !used[digest] {
			delete(s.loaded, digest)
			unused = append(unused, module)
		}
	}
	for from := range s.resolved {
		if !wanted[from] {
			delete(s.resolved, from)
		}
	}
	s.mu.Unlock()
	for _, module := range unused {
		module.release()
	}
}

// dropIdle lets go of the modules that neither serve (used has their digests) nor are needed
// for what is being prepared, and says whether there were any. Who was about to take one
// loads it again.
func (s *modules) dropIdle(used map[string]int64) bool {
	s.mu.Lock()
	var idle []*sharedModule
	for digest, module := range s.loaded {
		if _, serves := used[digest]; !serves && module.users.Load() == 1 {
			delete(s.loaded, digest)
			idle = append(idle, module)
		}
	}
	s.mu.Unlock()
	for _, module := range idle {
		module.release()
	}
	return len(idle) > 0
}

func (s *modules) observe(step Step, started time.Time) {
	s.config.Observer.Prepared(step, s.config.Now().Sub(started))
}
