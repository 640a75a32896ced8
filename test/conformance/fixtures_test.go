package conformance

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/server/servertest"
)

// What all cases run under.
const (
	policyTimeout   = 10 * time.Second // of policies that have none of their own: none should ever need it
	acceptNamespace = "always-accepted"
	settingsTimeout = 2 * time.Second // only guests that hang need as much
	maxBodyBytes    = 64 << 10
	loadingTime     = 5 * time.Minute
	// loadTimeout bounds what a module does before it is asked: guests that hang use all of it.
	loadTimeout = time.Second
)

// neighbour is a policy that accepts every request and is asked after each case.
const neighbour = "neighbour"

// folder keeps modules in files, each once.
type folder struct {
	t   *testing.T
	dir string
}

// url gives the URL of a module, which is built and written when it is first asked for.
func (f folder) url(of Module) (string, error) {
	name, module := of.Module, []byte(nil)
	if of.Module != "" {
		module = policiestest.Module(f.t, of.Module)
	} else {
		var err error
		if module, err = of.Guest.Bytes(f.t.Context()); err != nil {
			return "", err
		}
		name = fmt.Sprintf("guest-%x", sha256.Sum256(module))
	}
	if of.Guest != nil && of.Guest.Does == absentModule {
		return "file://" + filepath.Join(f.dir, "absent.wasm"), nil
	}
	path := filepath.Join(f.dir, name+".wasm")
	if _, err := os.Stat(path); err == nil {
		return "file://" + path, nil
	}
	return "file://" + path, os.WriteFile(path, module, 0o600)
}

// policiesFile is policies.yml with an entry for each case.
func policiesFile(t *testing.T, cases []Case) []byte {
	t.Helper()
	modules := folder{t, t.TempDir()}
	entries := map[string]map[string]any{}
	for i := range cases {
		entry, err := cases[i].Entry(modules.url)
		if err != nil {
			t.Fatalf("case %q: %v", cases[i].Name, err)
		}
		if entry != nil {
			entries[cases[i].ID] = entry
		}
	}
	url, err := modules.url(Module{Guest: &Guest{Does: "accepts"}})
	if err != nil {
		t.Fatal(err)
	}
	entries[neighbour] = map[string]any{"module": url}
	encoded, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// warmed are policies with warm instances, where these are allowed. Policies that may hang take
// the whole time that a module has to load, and are left as they are.
func warmed(t *testing.T, policies []byte, cases []Case) []byte {
	t.Helper()
	var entries map[string]map[string]json.RawMessage
	if err := json.Unmarshal(policies, &entries); err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		if entry := entries[cases[i].ID]; entry != nil && !cases[i].Waits() && !contract.IsNamespacedID(cases[i].ID) {
			entry["instanceMode"] = json.RawMessage(`"warm"`)
		}
	}
	encoded, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// nobody is an observer that is not interested.
type nobody struct{}

func (nobody) Evaluated(evaluation.Evaluation) {}

func (nobody) NotLoaded(string, contract.Reason) {}

func (nobody) Prepared(evaluation.Step, time.Duration) {}

func (nobody) ModuleInMemory() {}

func (nobody) SetChanged(evaluation.Snapshot) {}

// newEnvironment serves policies by an engine, without a server.
func (w world) newEnvironment(t *testing.T, isolation policy.Isolation, store string, policies []byte) (*evaluation.Environment, *policy.Engine) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine, err := policy.NewEngine(t.Context(), policy.Config{
		CacheDir: filepath.Join(store, "compiled"), Isolation: isolation, WarmUp: 3, LoadTimeout: loadTimeout, Logger: log, Now: time.Now,
		Capabilities: w.capabilities(store),
	})
	if err != nil {
		t.Fatal(err)
	}
	environment := evaluation.NewEnvironment(evaluation.EnvironmentConfig{
		Observer: nobody{}, Logger: log, Now: time.Now, AcceptNamespace: acceptNamespace,
	})
	loader := evaluation.NewLoader(evaluation.LoaderConfig{
		Environment: environment,
		FetcherFor: func(sources contract.Sources, _ *contract.Verification) evaluation.Fetcher {
			return fetch.New(fetch.Config{Dir: store, Sources: sources})
		},
		Compile: func(ctx context.Context, wasm []byte) (evaluation.Module, error) {
			module, err := engine.Compile(ctx, wasm)
			if err != nil {
				return nil, err
			}
			return evaluation.OfEngine(module), nil
		},
		PolicyTimeout: policyTimeout, SettingsTimeout: settingsTimeout, Parallelism: 4,
		RetryFirst: time.Millisecond, RetryMost: time.Second, RetrySlow: time.Hour, Observer: nobody{}, Logger: log, Now: time.Now,
	})
	var wanted evaluation.Wanted
	if wanted.Policies, wanted.Refused, err = contract.DecodePolicies(policies); err != nil {
		t.Fatal(err)
	}
	loader.Apply(wanted)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		loader.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "the engine's policies", environment.Ready)
	return environment, engine
}

// remote is a policy server of its own with a client that trusts it.
type remote struct {
	client  *http.Client
	address string
}

// newRemote serves policies by a whole policy server with TLS.
func newRemote(t *testing.T, store string, policies []byte, world world) *remote {
	t.Helper()
	dir := t.TempDir()
	files := &policyserver.Files{Policies: filepath.Join(dir, "policies.yml"), Sources: filepath.Join(dir, "sources.yml")}
	sources, err := contract.EncodeSources(world.sources())
	if err != nil {
		t.Fatal(err)
	}
	trust := filepath.Join(dir, "trusted_root.json")
	for path, content := range map[string][]byte{files.Policies: policies, files.Sources: sources, trust: theImages().trust} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificates, trusted := servertest.Certificate(t)
	s, err := policyserver.New(t.Context(), policyserver.Config{
		Version: "0.0.0-test", APIAddress: "127.0.0.1:0", ReadinessAddress: "127.0.0.1:0", Certificates: certificates,
		MaxBodyBytes: maxBodyBytes, Workers: 8, QueueLimit: 64, PolicyTimeout: policyTimeout, SettingsTimeout: settingsTimeout,
		AcceptNamespace: acceptNamespace, DownloadDir: store, Files: files, SigstoreTrust: trust, Capabilities: world.config,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	ctx, stop := context.WithCancel(t.Context())
	hurry, hurryNow := context.WithCancel(context.Background())
	hurryNow()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, hurry) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "the server's policies", func() error {
		response, err := http.Get("http://" + s.Address("readiness") + contract.PathReadiness)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("got status %s", response.Status)
		}
		return nil
	})
	return &remote{client: &http.Client{Transport: transport, Timeout: time.Minute}, address: s.Address("API")}
}

func waitFor(t *testing.T, what string, condition func() error) {
	t.Helper()
	deadline := time.After(loadingTime)
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s were not ready in %s: %v", what, loadingTime, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
