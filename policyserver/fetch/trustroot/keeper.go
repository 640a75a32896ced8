package trustroot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// target is what a repository calls the trust root.
const target = "trusted_root.json"

// Defaults of Config.
const (
	defaultRefresh    = 24 * time.Hour
	defaultRetryFirst = 2 * time.Second
	defaultRetryMost  = 10 * time.Minute
	// requestTimeout bounds one request of the several that fetching takes.
	requestTimeout = 30 * time.Second
)

// Config is what a Keeper is made from. Dir is needed; the rest has defaults.
type Config struct {
	// Dir keeps what was fetched. It is made when it is missing; where that fails, nothing
	// is kept.
	Dir string
	// Mirror is the URL of the repository, and Root the metadata in JSON that it is trusted
	// by; "" and nil mean those of Sigstore's public instance.
	Mirror string
	Root   []byte
	// Refresh is the time between two fetches; 0 means a day. RetryFirst is the time after
	// one that failed, which doubles up to RetryMost; 0 means 2 s, and 10 min.
	Refresh, RetryFirst, RetryMost time.Duration
	// Logger is told of what was fetched and of what failed; nil discards it.
	Logger *slog.Logger
}

// Keeper has the public trust root of Sigstore. Its methods may be called concurrently.
type Keeper struct {
	config Config
	// needed is closed by the first who asks for the trust root.
	needed chan struct{}
	need   sync.Once

	mu    sync.Mutex
	trust *signature.Trust
	err   error // why there is no trust
}

// New makes a Keeper. It does nothing before Run.
func New(config Config) *Keeper {
	config.Mirror = cmp.Or(config.Mirror, tuf.DefaultMirror)
	if config.Root == nil {
		config.Root = tuf.DefaultRoot()
	}
	config.Refresh = cmp.Or(config.Refresh, defaultRefresh)
	config.RetryFirst = cmp.Or(config.RetryFirst, defaultRetryFirst)
	config.RetryMost = cmp.Or(config.RetryMost, defaultRetryMost)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		config: config, needed: make(chan struct{}),
		err: fmt.Errorf("the public trust root of Sigstore has not been fetched from %s yet", config.Mirror),
	}
}

// Trust gives the trust root, at once, or says why there is none yet. The first call has it
// fetched: who verifies by keys alone needs no network for it.
func (k *Keeper) Trust() (*signature.Trust, error) {
	k.need.Do(func() { close(k.needed) })
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trust == nil {
		return nil, k.err
	}
	return k.trust, nil
}

// Run fetches the trust root, from when it is needed on, until ctx is done. What was fetched
// before, by this process or one that had the same folder, is used while fetching fails.
func (k *Keeper) Run(ctx context.Context) {
	select {
	case <-k.needed:
	case <-ctx.Done():
		return
	}
	if err := os.MkdirAll(k.config.Dir, 0o700); err != nil {
		k.config.Logger.WarnContext(ctx, "trust root of Sigstore is not kept on disk", "error", err)
		k.config.Dir = ""
	}
	if k.config.Dir != "" {
		// Why there is none on disk is no news: mostly nothing was fetched before.
		if trust, err := k.fetch(k.options(ctx, unreachable).WithForceCache()); err == nil {
			k.have(trust)
		}
	}
	for failures := 0; ; {
		trust, err := k.fetch(k.options(ctx, reachable(ctx)))
		wait := k.config.Refresh
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = k.retryAfter(failures)
			failures++
			k.lack(ctx, err, wait)
		default:
			failures = 0
			k.have(trust)
			k.config.Logger.InfoContext(ctx, "fetched trust root of Sigstore", "mirror", k.config.Mirror)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// retryAfter is how long to wait after a number of failures before the present one.
func (k *Keeper) retryAfter(failures int) time.Duration {
	wait := k.config.RetryFirst
	for range failures {
		if wait *= 2; wait >= k.config.RetryMost {
			return k.config.RetryMost
		}
	}
	return wait
}

func (k *Keeper) have(trust *signature.Trust) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trust, k.err = trust, nil
}

// lack notes that fetching failed. A trust root that is there stays: that it could not be
// renewed is no sign that it is wrong.
func (k *Keeper) lack(ctx context.Context, err error, retry time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.config.Logger.WarnContext(ctx, "fetch trust root of Sigstore",
		"mirror", k.config.Mirror, "has_earlier", k.trust != nil, "retry_after", retry, "error", err)
	if k.trust == nil {
		k.err = fmt.Errorf("fetch the public trust root of Sigstore: %w", err)
	}
}

func (k *Keeper) fetch(options *tuf.Options) (*signature.Trust, error) {
	client, err := tuf.New(options)
	if err != nil {
		return nil, err
	}
	data, err := client.GetTarget(target)
	if err != nil {
		return nil, err
	}
	return signature.ParseTrust(data)
}

// doer sends a request.
type doer func(*http.Request) (*http.Response, error)

// Do sends a request.
func (d doer) Do(request *http.Request) (*http.Response, error) { return d(request) }

// reachable sends requests until ctx is done.
func reachable(ctx context.Context) doer {
	client := &http.Client{Timeout: requestTimeout}
	return func(request *http.Request) (*http.Response, error) {
		return client.Do(request.WithContext(ctx)) //nolint:gosec // the mirror is part of the configuration
	}
}

// unreachable leaves what is on disk.
func unreachable(*http.Request) (*http.Response, error) {
	return nil, errors.New("only what is on disk is asked for")
}

func (k *Keeper) options(ctx context.Context, network doer) *tuf.Options {
	download := fetcher.NewDefaultFetcher()
	download.SetHTTPClient(network)
	options := (&tuf.Options{}).WithRoot(k.config.Root).WithRepositoryBaseURL(k.config.Mirror).
		WithCachePath(k.config.Dir).WithFetcher(download).WithContext(ctx)
	if k.config.Dir == "" {
		return options.WithDisableLocalCache()
	}
	return options
}
