package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

const (
	// DefaultMaxModuleBytes bounds a module where Config does not.
	DefaultMaxModuleBytes = 128 << 20
	// DefaultTimeout bounds one Fetch where Config does not.
	DefaultTimeout = 2 * time.Minute
)

// Config is what a Client is made from. Dir is needed; the rest has defaults.
type Config struct {
	// Dir is the root of the store. It is made when it is missing.
	Dir string
	// Sources say which hosts are trusted how.
	Sources contract.Sources
	// Verification is what modules must be signed with; nil demands nothing. With it,
	// modules come from registries only.
	Verification *contract.Verification
	// Trust gives the trust root of Sigstore by which identities are verified. It is asked
	// only when one is demanded, and does not wait: its error says why there is none yet.
	// nil means that there never is one.
	Trust func() (*signature.Trust, error)
	// Keychain gives the credentials of registries; nil means none.
	Keychain authn.Keychain
	// Proxies are for what the proxies of Sources leave open.
	Proxies contract.Proxies
	// MaxModuleBytes bounds a module; 0 means DefaultMaxModuleBytes.
	MaxModuleBytes int64
	// Timeout bounds one Fetch; 0 means DefaultTimeout.
	Timeout time.Duration
	// Fetched is told where each module was; nil for nobody.
	Fetched func(Place)
	// Logger takes what may interest whoever looks for the cause of an error; nil
	// discards it.
	Logger *slog.Logger
}

// Place is where a module was found.
type Place string

// Places of modules.
const (
	PlaceStore  Place = "store"
	PlaceSource Place = "source"
)

// Client fetches modules. It is safe for concurrent use.
type Client struct {
	config     Config
	store      store
	transports *transports
	// verified is told by what a module was verified; it is Fetch's.
	verified func(signed string, by evidence)
}

// New makes a client.
func New(config Config) *Client {
	if config.Keychain == nil {
		config.Keychain = authn.NewMultiKeychain()
	}
	if config.MaxModuleBytes == 0 {
		config.MaxModuleBytes = DefaultMaxModuleBytes
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Fetched == nil {
		config.Fetched = func(Place) {}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{config: config, store: store{dir: config.Dir}, transports: newTransports(config.Sources, config.Proxies)}
}

// Fetch gives the module at a URL. A digest ("sha256:" and 64 hex digits) that is not
// empty is the one that the module's bytes must have; a module of that digest that is in
// the store already, and of which the evidence there suffices for what is demanded, is not
// fetched again. Any error is an *Error.
func (c *Client) Fetch(ctx context.Context, moduleURL, digest string) ([]byte, error) {
	if digest != "" && !digestPattern.MatchString(digest) {
		return nil, refuse(contract.ReasonInvalidEntry, "module digest is %q, want sha256: and 64 hex digits", digest)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	if module := c.kept(ctx, moduleURL, digest); module != nil {
		c.config.Fetched(PlaceStore)
		return module, nil
	}
	asking := *c
	asking.verified = func(signed string, by evidence) {
		if err := c.store.keepEvidence(moduleURL, signed, by); err != nil {
			c.config.Logger.WarnContext(ctx, "store evidence", "module", moduleURL, "error", err)
		}
	}
	module, err := asking.fetch(ctx, moduleURL, digest)
	if err != nil {
		return nil, classify(err)
	}
	if err := check(module, digest); err != nil {
		return nil, err
	}
	c.config.Fetched(PlaceSource)
	if err := c.store.put(module); err != nil {
		// The module is here; that it must be fetched again after a restart is no reason
		// not to serve it.
		c.config.Logger.WarnContext(ctx, "store module", "module", moduleURL, "error", err)
	}
	return module, nil
}

// kept gives the module of a digest out of the store, provided that it has the signatures
// that are demanded, or nil.
func (c *Client) kept(ctx context.Context, moduleURL, digest string) []byte {
	if c.config.Verification == nil {
		return c.stored(ctx, digest)
	}
	return c.verifiedBefore(ctx, moduleURL, digest)
}

// stored gives the module of a digest out of the store, or nil.
func (c *Client) stored(ctx context.Context, digest string) []byte {
	if digest == "" {
		return nil
	}
	module, err := c.store.get(digest)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.config.Logger.WarnContext(ctx, "read stored module", "digest", digest, "error", err)
	}
	return module
}

func (c *Client) fetch(ctx context.Context, moduleURL, digest string) ([]byte, error) {
	scheme, rest, found := strings.Cut(moduleURL, "://")
	if !found {
		return c.fetchFromRegistry(ctx, moduleURL, digest)
	}
	if c.config.Verification != nil && scheme != "registry" {
		return nil, refuse(contract.ReasonUnverified, "modules behind %s:// have no signatures; where verification is configured, allowed is registry or no scheme", scheme)
	}
	switch scheme {
	case "registry":
		return c.fetchFromRegistry(ctx, rest, digest)
	case "https", "http":
		return c.fetchFromServer(ctx, moduleURL)
	case "file":
		return c.readFile(rest)
	default:
		return nil, refuse(contract.ReasonInvalidEntry, "unknown scheme: %s; allowed are registry, https, http, file, or none for registry", scheme)
	}
}

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// wasmMagic is how every WebAssembly binary begins.
var wasmMagic = []byte{0x00, 0x61, 0x73, 0x6d}

// check says what is wrong with a module that should have a digest, unless that is empty.
func check(module []byte, digest string) error {
	if !bytes.HasPrefix(module, wasmMagic) {
		return refuse(contract.ReasonInvalidModule, "invalid wasm file")
	}
	if digest == "" {
		return nil
	}
	if got := digestOf(module); got != digest {
		return refuse(contract.ReasonInvalidModule, "the module has digest %s, want %s", got, digest)
	}
	return nil
}

func (c *Client) readFile(path string) ([]byte, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, refuse(contract.ReasonInvalidEntry, "file URL names no absolute path: file://%s", path)
	}
	unescaped, err := url.PathUnescape(path)
	if err != nil {
		return nil, refuse(contract.ReasonInvalidEntry, "read file URL: %w", err)
	}
	file, err := os.Open(unescaped)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, refuse(contract.ReasonModuleNotFound, "%w", err)
	case errors.Is(err, os.ErrPermission):
		return nil, refuse(contract.ReasonModuleForbidden, "%w", err)
	case err != nil:
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return c.readAll(file, info.Size())
}

func (c *Client) fetchFromServer(ctx context.Context, moduleURL string) ([]byte, error) {
	target, err := url.Parse(moduleURL)
	if err != nil {
		return nil, refuse(contract.ReasonInvalidEntry, "%w", err)
	}
	return attempt(ctx, c, target.Host, func(ctx context.Context, try try) ([]byte, error) {
		return c.get(ctx, try, moduleURL)
	})
}

func (c *Client) get(ctx context.Context, try try, moduleURL string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, moduleURL, http.NoBody)
	if err != nil {
		return nil, refuse(contract.ReasonInvalidEntry, "%w", err)
	}
	response, err := (&http.Client{Transport: try.transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, &answeredError{refuse(reasonOfStatus(response.StatusCode), "the server answered %s", response.Status)}
	}
	return c.readAll(response.Body, 0) // a server may announce anything
}

// readAll reads a module, of which so many bytes are expected.
func (c *Client) readAll(reader io.Reader, expected int64) ([]byte, error) {
	var module bytes.Buffer
	module.Grow(int(min(expected, c.config.MaxModuleBytes)) + bytes.MinRead)
	read, err := module.ReadFrom(io.LimitReader(reader, c.config.MaxModuleBytes+1))
	if err != nil {
		return nil, err
	}
	if read > c.config.MaxModuleBytes {
		return nil, c.tooLarge()
	}
	return module.Bytes(), nil
}

func (c *Client) tooLarge() error {
	return refuse(contract.ReasonInvalidModule, "the module is larger than %d bytes", c.config.MaxModuleBytes)
}
