package policyserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/oci"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/trustroot"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

// Config is what a policy server is made from. Exactly one of Files and Live is set.
type Config struct {
	// Version is that of the binary, for reports and metrics.
	Version string
	// Addresses are host:port; that of metrics may be "" for none.
	APIAddress, ReadinessAddress, MetricsAddress string
	// Certificates are for the API port; nil means plain HTTP.
	Certificates *server.CertificateFiles
	// MaxBodyBytes bounds a request's body; Workers, QueueLimit and DrainPeriod are as in
	// server.HandlerConfig and server.Config.
	MaxBodyBytes        int64
	Workers, QueueLimit int
	// Processors is as in policy.Config.
	Processors  int
	DrainPeriod time.Duration
	// StartupPatience is as in evaluation.LoaderConfig.
	StartupPatience time.Duration
	// PolicyTimeout bounds an evaluation where the policy says nothing; 0 does not.
	PolicyTimeout time.Duration
	// SettingsTimeout bounds a policy's check of its settings; 0 means 10 s.
	SettingsTimeout time.Duration
	// AcceptNamespace is a namespace whose requests are all accepted; "" is none.
	AcceptNamespace string
	// DownloadDir keeps modules, as they came and compiled.
	DownloadDir string
	// Isolation is how each request gets an instance of its policy; "" means pristine.
	Isolation policy.Isolation
	// Memory counts what the engine holds; nil does not, and bounds nothing.
	Memory *memory.Budget
	// Profiles serves profiles of the process on the API port.
	Profiles bool
	// Keychain gives the credentials of registries; nil means none.
	Keychain authn.Keychain
	// Proxies lead to modules where sources.yml does not say more.
	Proxies contract.Proxies
	// Verification is the path of verification.yml, which is read again when it changes; ""
	// demands no signatures.
	Verification string
	// SigstoreTrust is the path of the trust root of Sigstore that identities are verified
	// by, which is read again when it changes; "" means the public one.
	SigstoreTrust string
	// PublicTrust says how the public trust root is fetched; its Logger is the server's.
	PublicTrust trustroot.Config
	// Capabilities are what policies may be granted.
	Capabilities Capabilities
	Files        *Files
	Live         *Live
	// Push sends telemetry to a collector; nil does not. Whoever made it shuts it down.
	Push   *telemetry.Push
	Logger *slog.Logger
	Now    func() time.Time
}

// Times that nobody has wanted to change yet.
const (
	settingsTimeout = 10 * time.Second
	queueWait       = time.Second
	shutdownTimeout = 15 * time.Second
	loadParallelism = 4
)

// PolicyServer is a policy server whose ports are open.
type PolicyServer struct {
	config       Config
	started      time.Time
	engine       *policy.Engine
	objects      *objects.Capability // nil where there is no cluster
	metrics      *telemetry.Metrics
	tracer       *telemetry.Tracer // nil for none
	environment  *evaluation.Environment
	loader       *evaluation.Loader
	certificates *server.Certificates
	server       *server.Server
	source       source
	publicTrust  *trustroot.Keeper
	images       *oci.Capability
	// trust is what policies verify images by; nil is the public trust root.
	trust atomic.Pointer[signature.Trust]
	// stopping is closed when Run begins to stop.
	stopping chan struct{}
}

// source is where the configuration comes from.
type source interface {
	// run applies every configuration until ctx is done.
	run(ctx context.Context)
	// changed is called after every change of what there is to report.
	changed()
	// ready is an error as long as the source lets nobody in.
	ready() error
}

// New opens the ports and, when the configuration comes from files, reads it: what is
// wrong with it as a whole is an error here, what is wrong with one policy is not.
func New(ctx context.Context, config Config) (*PolicyServer, error) {
	p := &PolicyServer{
		config: config, started: config.Now(), stopping: make(chan struct{}),
		metrics: telemetry.NewMetrics(config.Version), tracer: config.Push.Tracer(),
	}
	p.metrics.SetWorkers(config.Workers)
	p.metrics.ObserveMemory(config.Memory)
	config.PublicTrust.Logger = config.Logger
	p.publicTrust = trustroot.New(config.PublicTrust)
	p.images = oci.New(oci.Config{TTL: config.Capabilities.OCITTL, Now: config.Now})
	var err error
	p.engine, err = policy.NewEngine(ctx, policy.Config{
		CacheDir: filepath.Join(config.DownloadDir, "compiled"), Memory: config.Memory, Isolation: config.Isolation, Processors: config.Processors,
		Capabilities: p.capabilities(), HostLimits: config.Capabilities.Limits,
		HostCalls: p.metrics, HostTrace: p.tracer.HostCalls(), Logger: p.tracer.PolicyLogger(config.Logger), Now: config.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	p.metrics.ObserveEngine(p.engine.Stats)
	instances := p.engine.Stats()
	config.Logger.InfoContext(ctx, "engine is ready", "isolation", instances.Isolation, "method", instances.Method)
	p.environment = evaluation.NewEnvironment(evaluation.EnvironmentConfig{
		Observer: p.metrics, Logger: config.Logger, Now: config.Now, AcceptNamespace: config.AcceptNamespace,
	})
	p.loader = p.newLoader()
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.closeEngine(ctx))
	}
	return p, nil
}

// open does what can fail for reasons outside.
func (p *PolicyServer) open(ctx context.Context) (err error) {
	if err := p.config.Push.Start(ctx, p.metrics); err != nil {
		return err
	}
	if p.config.Certificates != nil {
		p.certificates, err = server.LoadCertificates(server.CertificatesConfig{
			Files: *p.config.Certificates, Logger: p.config.Logger,
			Observe: p.metrics.CertificateLoaded, Changed: func() { p.source.changed() },
			ObserveClient: p.metrics.ClientSeen, Now: p.config.Now,
		})
		if err != nil {
			return err
		}
	}
	if p.config.Live != nil {
		p.source, err = newLiveSource(p)
	} else {
		p.source, err = newFileSource(p)
	}
	if err != nil {
		return err
	}
	p.server, err = server.Listen(ctx, server.Config{
		APIAddress: p.config.APIAddress, ReadinessAddress: p.config.ReadinessAddress, MetricsAddress: p.config.MetricsAddress,
		Certificates: p.certificates, Connections: p.metrics, API: p.newHandler(), Metrics: p.metrics.Handler(), Ready: p.ready,
		Age: server.DefaultAge, DrainPeriod: p.config.DrainPeriod, ShutdownTimeout: shutdownTimeout,
		Logger: p.config.Logger, Now: p.config.Now,
	})
	return err
}

func (p *PolicyServer) newLoader() *evaluation.Loader {
	return evaluation.NewLoader(evaluation.LoaderConfig{
		Environment: p.environment,
		FetcherFor: func(sources contract.Sources, verification *contract.Verification) evaluation.Fetcher {
			p.images.Use(p.newCapabilityClient(sources))
			return p.newFetcher(sources, verification)
		},
		Compile: func(ctx context.Context, wasm []byte) (evaluation.Module, error) {
			module, err := p.engine.Compile(ctx, wasm)
			if err != nil {
				return nil, err
			}
			return p.tracer.Module(evaluation.OfEngine(module), module.Metadata().ExecutionMode), nil
		},
		PolicyTimeout: p.config.PolicyTimeout, SettingsTimeout: cmp.Or(p.config.SettingsTimeout, settingsTimeout), Parallelism: loadParallelism,
		StartupPatience: p.config.StartupPatience,
		Observer:        setObserver{p}, TraceGroup: p.tracer.Group(), Logger: p.config.Logger, Now: p.config.Now,
	})
}

func (p *PolicyServer) newFetcher(sources contract.Sources, verification *contract.Verification) *fetch.Client {
	return fetch.New(fetch.Config{
		Dir: p.config.DownloadDir, Sources: sources, Verification: verification, Trust: p.trustFor(verification),
		Keychain: p.config.Keychain, Proxies: p.config.Proxies,
		Fetched: p.metrics.ModuleFetched, Logger: p.config.Logger,
	})
}

func (p *PolicyServer) newHandler() http.Handler {
	handler := http.Handler(server.NewHandler(server.HandlerConfig{
		Evaluator: p.tracer.Evaluator(p.environment), Observer: p.metrics, Settings: p.settings(),
		MaxBodyBytes: p.config.MaxBodyBytes, Workers: p.config.Workers, QueueLimit: p.config.QueueLimit, QueueWait: queueWait,
		Logger: p.config.Logger, Now: p.config.Now,
	}))
	if p.config.Profiles {
		handler = server.WithProfiles(handler, p.stopping)
	}
	return p.tracer.Handler(handler)
}

// settings is how the operator has settings checked; nil where no operator is known.
func (p *PolicyServer) settings() *server.Settings {
	if p.config.Certificates == nil || len(p.config.Certificates.OperatorCAs) == 0 {
		return nil
	}
	return &server.Settings{Checker: p.loader, IsOperator: p.certificates.IsOperator}
}

// setObserver passes on what the loader tells.
type setObserver struct{ *PolicyServer }

func (o setObserver) Prepared(step evaluation.Step, took time.Duration) {
	o.metrics.Prepared(step, took)
}

func (o setObserver) ModuleInMemory() { o.metrics.ModuleInMemory() }

func (o setObserver) SetChanged(snapshot evaluation.Snapshot) {
	o.metrics.SetChanged(snapshot)
	if o.objects != nil {
		o.objects.Want(snapshot.Lists)
	}
	o.source.changed()
}

func (p *PolicyServer) ready() error {
	if err := p.environment.Ready(); err != nil {
		return err
	}
	return p.source.ready()
}

// Address is where a port ("API", "readiness", "metrics") listens.
func (p *PolicyServer) Address(port string) string { return p.server.Address(port) }

// Run serves until ctx is done and the requests that were sent by then are answered. When
// hurry is done as well it does not wait for those that may still come. Run closes the
// server; it is called once.
func (p *PolicyServer) Run(ctx, hurry context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { close(p.stopping) })
	var running sync.WaitGroup
	running.Go(func() { p.loader.Run(background) })
	running.Go(func() { p.source.run(background) })
	if p.certificates != nil {
		running.Go(func() { p.certificates.Watch().Run(background) })
	}
	running.Go(func() { p.publicTrust.Run(background) })
	err := p.server.Run(ctx, hurry)
	stop()
	running.Wait()
	return errors.Join(err, p.closeEngine(ctx))
}

// report is what there is to report now.
func (p *PolicyServer) report() contract.Report {
	snapshot := p.environment.Snapshot()
	report := contract.Report{
		Contract: contract.Version, Version: p.config.Version,
		StartTime:   p.started.UTC().Format(time.RFC3339Nano),
		SetRevision: snapshot.SetRevision, ConfigRevision: snapshot.ConfigRevision,
		Policies: snapshot.Policies, Digests: snapshot.Digests, Failures: make(map[string]contract.Failure, len(snapshot.Failures)),
	}
	for id, failure := range snapshot.Failures {
		report.Failures[id] = contract.NewFailure(failure.Wanted, failure.Reason, failure.Cause)
	}
	report.Unreadable = p.unreadable()
	if p.certificates != nil {
		p.certificates.Report(&report)
	}
	return report
}

// decode reads a configuration. An absent sources.yml is an empty one.
func decode(policies, sources []byte) (evaluation.Wanted, error) {
	var wanted evaluation.Wanted
	var err error
	if wanted.Policies, wanted.Refused, err = contract.DecodePolicies(policies); err != nil {
		return wanted, err
	}
	if len(sources) > 0 {
		wanted.Sources, err = contract.DecodeSources(sources)
	}
	return wanted, err
}
