package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// world is an environment with its loader, in which modules and sources are made up.
type world struct {
	*Environment

	t      *testing.T
	loader *Loader

	mu       sync.Mutex
	content  map[string]string // URL to the bytes of the module there
	failures map[string]error  // URL to what fetching it gives
	signers  map[string]string // URL to who signed the module there
	fetched  []string          // "URL" or "URL@digest" per fetch
	compiled []*fakeModule
	isolated []*fakeModule
	gate     chan struct{} // when not nil, each fetch takes one
	waiting  int           // fetches for the gate, and settings that hang
	observed []Evaluation
	refused  []contract.Reason

	refusedIDs []string

	memory *memory.Budget // nil for no bound
}

// parallelism is that of a world's loader.
const parallelism = 2

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, content: map[string]string{}, failures: map[string]error{}, signers: map[string]string{}}
	w.Environment = NewEnvironment(EnvironmentConfig{
		Observer: w, Logger: slog.New(slog.DiscardHandler), Now: time.Now, AcceptNamespace: "exempt",
	})
	w.loader = NewLoader(LoaderConfig{
		Environment: w.Environment, Observer: w, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		FetcherFor: func(sources contract.Sources, verification *contract.Verification) Fetcher {
			return &fakeFetcher{w, sources, verification}
		},
		Compile: w.compile, PolicyTimeout: 2 * time.Second, SettingsTimeout: 5 * time.Second,
		Parallelism: parallelism, RetryFirst: time.Second, RetryMost: 8 * time.Second, RetrySlow: time.Minute,
	})
	return w
}

// run starts the loader; it ends with the test.
func (w *world) run() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.loader.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (w *world) serve(url, content string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.content[url] = content
}

func (w *world) fail(url string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures[url] = err
}

func (w *world) sign(url, owner string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.signers[url] = owner
}

func (w *world) fetches() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.fetched)
}

// wait counts somebody who waits until the result is called.
func (w *world) wait() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}
}

func (w *world) waits() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting
}

func (w *world) Evaluated(evaluation Evaluation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observed = append(w.observed, evaluation)
}

func (w *world) NotLoaded(id string, reason contract.Reason) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused, w.refusedIDs = append(w.refused, reason), append(w.refusedIDs, id)
}

func (w *world) Prepared(Step, time.Duration) {}

func (w *world) ModuleInMemory() {}

func (w *world) SetChanged(Snapshot) {}

type fakeFetcher struct {
	*world

	sources      contract.Sources
	verification *contract.Verification // asks for one owner of a key
}

// classified is an error that says whether trying again can help.
type classified struct{ reason contract.Reason }

func (c classified) Error() string { return "made up: " + string(c.reason) }

func (c classified) Reason() contract.Reason { return c.reason }

func (f *fakeFetcher) Fetch(ctx context.Context, url, digest string) ([]byte, error) {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	if gate != nil {
		defer f.wait()()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-gate:
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := url
	if digest != "" {
		name += "@" + contract.ShortDigest(digest)
	}
	f.fetched = append(f.fetched, name)
	if err := f.failures[url]; err != nil && len(f.sources.InsecureSources) == 0 {
		return nil, err
	}
	if f.verification != nil && f.signers[url] != f.verification.AllOf[0].Owner {
		return nil, classified{contract.ReasonUnverified}
	}
	return []byte(f.content[url]), nil
}

// fakeModule is a policy whose words decide what it does.
type fakeModule struct {
	content string
	closed  atomic.Bool
	world   *world
	hold    chan struct{} // Validate waits for it
	asked   atomic.Int64
}

func (w *world) compile(_ context.Context, wasm []byte) (Module, error) {
	if strings.Contains(string(wasm), "broken") {
		return nil, &policy.Error{Kind: policy.KindInvalidModule, Message: "no module", Err: errors.New("at byte 3")}
	}
	module := &fakeModule{content: string(wasm), world: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.memory.Take(memory.Modules, memory.Size{Heap: module.Bytes()}); err != nil {
		return nil, &policy.Error{Kind: policy.KindNoRoom, Message: err.Error(), Err: err}
	}
	w.compiled = append(w.compiled, module)
	return module, nil
}

func (m *fakeModule) ValidateSettings(ctx context.Context, call policy.Call) (protocol.SettingsValidationResponse, error) {
	switch {
	case m.closed.Load():
		return protocol.SettingsValidationResponse{}, errors.New("called after it was closed")
	case strings.Contains(string(call.Settings), "hang"):
		defer m.world.wait()()
		<-ctx.Done()
		return protocol.SettingsValidationResponse{}, &policy.Error{Kind: policy.KindTimeout, Message: "too slow"}
	case strings.Contains(string(call.Settings), "break"):
		return protocol.SettingsValidationResponse{}, &policy.Error{Kind: policy.KindGuest, Message: "broke"}
	case strings.Contains(string(call.Settings), "internal"):
		return protocol.SettingsValidationResponse{}, &policy.Error{Kind: policy.KindInternal, Message: "host broke"}
	case strings.Contains(string(call.Settings), "mute"):
		return protocol.SettingsValidationResponse{}, nil
	case strings.Contains(string(call.Settings), "bad"):
		return protocol.SettingsValidationResponse{Message: new("bad is not good")}, nil
	default:
		return protocol.SettingsValidationResponse{Valid: true}, nil
	}
}

func (m *fakeModule) Validate(ctx context.Context, call policy.Call, _ json.RawMessage) (protocol.ValidationResponse, error) {
	m.asked.Add(1)
	if m.hold != nil {
		<-m.hold
	}
	if m.closed.Load() {
		return protocol.ValidationResponse{}, errors.New("called after it was closed")
	}
	if call.Varies != nil && strings.Contains(m.content, "vary") {
		*call.Varies = true
	}
	switch {
	case strings.Contains(m.content, "hang"):
		<-ctx.Done()
		return protocol.ValidationResponse{}, &policy.Error{Kind: policy.KindTimeout, Message: "too slow"}
	case strings.Contains(m.content, "trap"):
		return protocol.ValidationResponse{}, &policy.Error{Kind: policy.KindGuest, Message: "trapped"}
	case strings.Contains(m.content, "closed"):
		return protocol.ValidationResponse{}, &policy.Error{Kind: policy.KindUnavailable, Message: "closed"}
	case strings.Contains(m.content, "internal"):
		return protocol.ValidationResponse{}, &policy.Error{Kind: policy.KindInternal, Message: "host broke"}
	case strings.Contains(m.content, "mutate"):
		return protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"a":1}`)}, nil
	case strings.Contains(m.content, "silent"):
		return protocol.ValidationResponse{}, nil
	case strings.Contains(m.content, "warn"):
		return protocol.ValidationResponse{
			Accepted: true, Warnings: []string{"w"}, AuditAnnotations: map[string]string{"k": "v"},
		}, nil
	case strings.Contains(m.content, "slow"):
		select {
		case <-time.After(1500 * time.Millisecond):
			return protocol.ValidationResponse{Accepted: true}, nil
		case <-ctx.Done():
			return protocol.ValidationResponse{}, &policy.Error{Kind: policy.KindTimeout, Message: "too slow"}
		}
	case strings.Contains(m.content, "accept"):
		return protocol.ValidationResponse{Accepted: true}, nil
	default:
		return protocol.ValidationResponse{Message: new(m.content + " " + string(call.Settings))}, nil
	}
}

func (m *fakeModule) Isolate(_ context.Context, _ policy.Call, isolation policy.Isolation) (Module, error) {
	if m.closed.Load() || strings.Contains(m.content, "rigid") {
		return nil, &policy.Error{Kind: policy.KindInternal, Message: "cannot be isolated"}
	}
	isolated := &fakeModule{content: m.content + " " + string(isolation), world: m.world}
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	if err := m.world.memory.Take(memory.Modules, memory.Size{Heap: isolated.Bytes()}); err != nil {
		return nil, err
	}
	m.world.isolated = append(m.world.isolated, isolated)
	return isolated, nil
}

func (m *fakeModule) Bytes() int64 { return int64(len(m.content)) }

func (m *fakeModule) Close(context.Context) error {
	if m.closed.Swap(true) {
		return errors.New("closed twice")
	}
	if m.world != nil {
		m.world.memory.Give(memory.Modules, memory.Size{Heap: m.Bytes()})
	}
	return nil
}

// ask gives what a request to a policy is answered, in one word or text.
func (w *world) ask(t *testing.T, id string) string {
	t.Helper()
	response, err := w.Evaluate(t.Context(), id, Request{Origin: OriginValidate, Document: json.RawMessage("{}")})
	switch {
	case err != nil:
		return "error: " + err.Error()
	case response.Allowed:
		return "allowed"
	case response.Status == nil || response.Status.Message == nil:
		return "denied"
	default:
		return *response.Status.Message
	}
}

func entries(policies contract.Policies) Wanted { return Wanted{Policies: policies} }

func settings(text string) json.RawMessage { return json.RawMessage(`{"say":"` + text + `"}`) }
