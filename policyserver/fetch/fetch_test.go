package fetch

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// module makes bytes that pass for a module.
func module(text string) []byte { return append(bytes.Clone(wasmMagic), "\x01\x00\x00\x00"+text...) }

// host is a registry and web server on the loopback interface.
type host struct {
	*httptest.Server

	requests atomic.Int64
	// status, when not 0, is what every request is answered with.
	status atomic.Int64
	// password, when set, is needed as that of the user "user".
	password string
	// identityToken, when set, is needed to get a token.
	identityToken string
	files         map[string][]byte
}

func newHost(t *testing.T, options ...registry.Option) *host {
	t.Helper()
	h := &host{files: map[string][]byte{}}
	images := registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...)
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		h.requests.Add(1)
		if status := h.status.Load(); status != 0 {
			writer.WriteHeader(int(status))
			return
		}
		if _, password, _ := request.BasicAuth(); h.password != "" && password != h.password {
			writer.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			writer.WriteHeader(http.StatusUnauthorized)
			return
		}
		if h.identityToken != "" && h.withToken(writer, request) {
			return
		}
		if content, found := h.files[request.URL.Path]; found {
			_, _ = writer.Write(content)
			return
		}
		images.ServeHTTP(writer, request)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(h.Close)
	return h
}

func newTLSHost(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.StartTLS()
	return h
}

func newPlainHost(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.Start()
	return h
}

func (h *host) address() string { return h.Listener.Addr().String() }

func (h *host) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
}

func (h *host) trusted() contract.Sources {
	return contract.Sources{SourceAuthorities: map[string][]contract.Authority{
		h.address(): {{Type: contract.AuthorityData, Data: string(h.authority())}},
	}}
}

func (h *host) insecure() contract.Sources {
	return contract.Sources{InsecureSources: []string{h.address()}}
}

// layer is content and its media type.
type layer struct {
	content   []byte
	mediaType types.MediaType
}

// push stores an artefact under policies/<tag> and gives the digest of its manifest.
func (h *host) push(t *testing.T, tag string, layers ...layer) string {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), MediaTypeConfig)
	for _, next := range layers {
		var err error
		image, err = mutate.AppendLayers(image, static.NewLayer(next.content, next.mediaType))
		if err != nil {
			t.Fatal(err)
		}
	}
	reference, err := name.ParseReference(h.address()+"/policies:"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithTransport(h.Client().Transport)}
	if h.password != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: "user", Password: h.password}))
	}
	if err := remote.Write(reference, image, options...); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func (h *host) url(tag string) string { return "registry://" + h.address() + "/policies:" + tag }

func client(t *testing.T, sources contract.Sources) testClient {
	t.Helper()
	return testClient{New(Config{Dir: t.TempDir(), Sources: sources, Timeout: 10 * time.Second}), t}
}

// testClient is a client with a test that it fails.
type testClient struct {
	*Client

	t *testing.T
}

// wantModule fetches and compares.
func (c testClient) wantModule(url, digest string, want []byte) {
	c.t.Helper()
	got, err := c.Fetch(c.t.Context(), url, digest)
	if err != nil {
		c.t.Fatalf("fetch %s: %v", url, err)
	}
	if !bytes.Equal(want, got) {
		c.t.Errorf("fetch %s: got %q, want %q", url, got, want)
	}
}

// wantError fetches and compares reason and text.
func (c testClient) wantError(url string, want contract.Reason, text string) {
	c.t.Helper()
	_, err := c.Fetch(c.t.Context(), url, "")
	got, is := errors.AsType[*Error](err)
	if !is {
		c.t.Fatalf("fetch %s: got %v, want an error", url, err)
	}
	if got.Reason() != want || !strings.Contains(got.Error(), text) {
		c.t.Errorf("fetch %s: got reason %s, text %q; want reason %s, text %q", url, got.Reason(), got, want, text)
	}
}

func TestFetchFromRegistry(t *testing.T) {
	h := newTLSHost(t)
	content := module("one")
	manifest := h.push(t, "v1", layer{content, MediaTypeModule})
	for name, url := range map[string]string{
		"by tag":            h.url("v1"),
		"without a scheme":  h.address() + "/policies:v1",
		"by digest":         "registry://" + h.address() + "/policies@" + manifest,
		"by tag and digest": "registry://" + h.address() + "/policies:v1@" + manifest,
	} {
		t.Run(name, func(t *testing.T) {
			client(t, h.trusted()).wantModule(url, "", content)
		})
	}
}

func TestFetchFromRegistryByLatestTag(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "latest", layer{module("latest"), MediaTypeModule})
	client(t, h.trusted()).wantModule(h.address()+"/policies", "", module("latest"))
}

func TestFetchArtefactRules(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "second", layer{[]byte("text"), "text/plain"}, layer{module("a"), MediaTypeModule}, layer{module("b"), MediaTypeModule})
	h.push(t, "none")
	h.push(t, "tar", layer{module("a"), types.OCILayer})
	h.push(t, "text", layer{[]byte("#!/bin/sh"), MediaTypeModule})
	h.push(t, "large", layer{module(strings.Repeat("x", 2000)), MediaTypeModule})
	c := client(t, h.trusted())
	c.config.MaxModuleBytes = 1000
	c.wantModule(h.url("second"), "", module("a"))
	c.wantError(h.url("none"), contract.ReasonInvalidModule, "has no layer of type application/vnd.wasm.content.layer.v1+wasm")
	c.wantError(h.url("tar"), contract.ReasonInvalidModule, "has no layer of type")
	c.wantError(h.url("text"), contract.ReasonInvalidModule, "invalid wasm file")
	c.wantError(h.url("large"), contract.ReasonInvalidModule, "larger than 1000 bytes")
}

func TestFetchClassifiesErrors(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	c := client(t, h.trusted())
	c.wantError(h.url("absent"), contract.ReasonModuleNotFound, "MANIFEST_UNKNOWN")
	c.wantError("https://"+h.address()+"/absent.wasm", contract.ReasonModuleNotFound, "404")
	for status, want := range map[int]contract.Reason{
		400: contract.ReasonModuleNotFound, 401: contract.ReasonModuleForbidden, 403: contract.ReasonModuleForbidden,
		404: contract.ReasonModuleNotFound, 429: contract.ReasonFetchFailed, 500: contract.ReasonFetchFailed, 503: contract.ReasonFetchFailed,
	} {
		h.status.Store(int64(status))
		c.wantError(h.url("v1"), want, "")
		c.wantError("https://"+h.address()+"/m.wasm", want, "")
	}
	h.Close()
	c.wantError(h.url("v1"), contract.ReasonFetchFailed, "refused")
	for url, text := range map[string]string{
		"ftp://registry.test/m.wasm":       "unknown scheme: ftp",
		"registry://registry.test/UPPER:v": "could not parse reference",
		"file://relative.wasm":             "names no absolute path",
		"https://registry.test:port/x":     "invalid port",
	} {
		c.wantError(url, contract.ReasonInvalidEntry, text)
	}
}

func TestFetchTrust(t *testing.T) {
	secure, plain := newTLSHost(t), newPlainHost(t)
	for _, h := range []*host{secure, plain} {
		h.push(t, "v1", layer{module("one"), MediaTypeModule})
		h.files["/m.wasm"] = module("one")
	}
	pemFile, derFile := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "ca.der")
	writeFile(t, pemFile, secure.authority())
	writeFile(t, derFile, secure.Certificate().Raw)
	byPath := func(path string) contract.Sources {
		return contract.Sources{SourceAuthorities: map[string][]contract.Authority{
			secure.address(): {{Type: contract.AuthorityPath, Path: path}},
		}}
	}
	for name, tc := range map[string]struct {
		host    *host
		sources contract.Sources
		want    string // part of the error; "" for none
	}{
		"authority as text":                          {host: secure, sources: secure.trusted()},
		"authority in a PEM file":                    {host: secure, sources: byPath(pemFile)},
		"authority in a DER file":                    {host: secure, sources: byPath(derFile)},
		"authority in no file":                       {host: secure, sources: byPath("/absent"), want: "no such file"},
		"unknown authority":                          {host: secure, want: "x509"},
		"authority of another host":                  {host: secure, sources: plain.insecure(), want: "x509"},
		"insecure source, TLS":                       {host: secure, sources: secure.insecure()},
		"insecure source, no TLS":                    {host: plain, sources: plain.insecure()},
		"no TLS on loopback, but no insecure source": {host: plain, want: "HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, url := range []string{tc.host.url("v1"), "https://" + tc.host.address() + "/m.wasm"} {
				if tc.host == plain && strings.HasPrefix(url, "https") {
					url = "http" + strings.TrimPrefix(url, "https")
				}
				c := client(t, tc.sources)
				if tc.want == "" {
					c.wantModule(url, "", module("one"))
				} else {
					c.wantError(url, contract.ReasonFetchFailed, tc.want)
				}
			}
		})
	}
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFetchDoesNotDowngradeWhatWasAnswered(t *testing.T) {
	h := newTLSHost(t)
	sources := h.trusted()
	sources.InsecureSources = []string{h.address()}
	h.status.Store(http.StatusNotFound)
	before := h.requests.Load()
	client(t, sources).wantError("https://"+h.address()+"/m.wasm", contract.ReasonModuleNotFound, "404")
	if got := h.requests.Load() - before; got != 1 {
		t.Errorf("got %d requests, want 1", got)
	}
}

func TestFetchRedirectIsNoWayOut(t *testing.T) {
	plain := newPlainHost(t)
	plain.files["/m.wasm"] = module("one")
	redirecting := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/m.wasm", http.StatusFound))
	t.Cleanup(redirecting.Close)
	address := redirecting.Listener.Addr().String()
	c := client(t, contract.Sources{InsecureSources: []string{address}})
	c.wantError("https://"+address+"/m.wasm", contract.ReasonFetchFailed, "reached by HTTPS only")
	if got := plain.requests.Load(); got != 0 {
		t.Errorf("got %d requests over plain HTTP, want none", got)
	}
}

func TestFetchUsesCredentials(t *testing.T) {
	h := newTLSHost(t)
	h.password = "secret"
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	client(t, h.trusted()).wantError(h.url("v1"), contract.ReasonModuleForbidden, "")

	c := client(t, h.trusted())
	c.config.Keychain = keychain{credentials: &authn.Basic{Username: "user", Password: "secret"}}
	c.wantModule(h.url("v1"), "", module("one"))

	h.password = ""
	c = client(t, h.trusted())
	c.config.Keychain = keychain{err: errors.New("no such helper")}
	c.wantModule(h.url("v1"), "", module("one"))
}

type keychain struct {
	credentials authn.Authenticator
	err         error
}

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.credentials, k.err }

func TestFetchKnownDigest(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	h.push(t, "v1", layer{module("two"), MediaTypeModule})
	c := client(t, h.trusted())
	c.wantModule(h.url("v1"), "", module("two"))
	c.wantModule(h.url("v1"), digestOf(module("one")), module("one"))

	_, err := c.Fetch(t.Context(), h.url("v1"), digestOf(module("three")))
	var got *Error
	if !errors.As(err, &got) || got.Reason() != contract.ReasonModuleNotFound {
		t.Errorf("got %v, want ModuleNotFound", err)
	}
	h.files["/m.wasm"] = module("one")
	if _, err := c.Fetch(t.Context(), "https://"+h.address()+"/m.wasm", digestOf(module("three"))); err == nil || !strings.Contains(err.Error(), "want "+digestOf(module("three"))) {
		t.Errorf("got %v, want an error that names both digests", err)
	}
	if _, err := c.Fetch(t.Context(), h.url("v1"), "sha256:../../etc/passwd"); err == nil || !strings.Contains(err.Error(), "64 hex digits") {
		t.Errorf("got %v, want a digest that is none refused", err)
	}
}

func TestFetchKeepsModules(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	dir := t.TempDir()
	fetch := func(digest string) error {
		got, err := New(Config{Dir: dir, Sources: h.trusted()}).Fetch(t.Context(), h.url("v1"), digest)
		if err == nil && !bytes.Equal(got, module("one")) {
			err = fmt.Errorf("got %q", got)
		}
		return err
	}
	if err := fetch(""); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digestOf(module("one")), "sha256:"))
	if stored, err := os.ReadFile(path); err != nil || !bytes.Equal(stored, module("one")) {
		t.Fatalf("got %q in the store (error %v), want the module", stored, err)
	}

	h.status.Store(http.StatusServiceUnavailable)
	if err := fetch(digestOf(module("one"))); err != nil {
		t.Errorf("a module in the store needs no source: %v", err)
	}
	writeFile(t, path, module("bad"))
	if err := fetch(digestOf(module("one"))); err == nil {
		t.Error("a stored module of another digest was served")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the spoilt module is still there (error %v)", err)
	}
	h.status.Store(0)
	if err := fetch(digestOf(module("one"))); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".incoming-*")); len(left) > 0 {
		t.Errorf("files left behind: %v", left)
	}
}

func TestFetchWorksWithoutAStore(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	blocked := filepath.Join(t.TempDir(), "file")
	writeFile(t, blocked, nil)
	testClient{New(Config{Dir: blocked, Sources: h.trusted()}), t}.wantModule(h.url("v1"), "", module("one"))
}

func TestFetchFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "my policy.wasm"), module("one"))
	writeFile(t, filepath.Join(dir, "text.wasm"), []byte("text"))
	c := client(t, contract.Sources{})
	c.wantModule("file://"+dir+"/my policy.wasm", "", module("one"))
	c.wantModule("file://"+dir+"/my%20policy.wasm", "", module("one"))
	c.wantError("file://"+dir+"/text.wasm", contract.ReasonInvalidModule, "invalid wasm file")
	c.wantError("file://"+dir+"/absent.wasm", contract.ReasonModuleNotFound, "no such file")
}

func TestCheckSources(t *testing.T) {
	h := newTLSHost(t)
	if err := client(t, h.trusted()).CheckSources(); err != nil {
		t.Error(err)
	}
	for name, authority := range map[string]contract.Authority{
		"text that is no PEM": {Type: contract.AuthorityData, Data: "text"},
		"file that is absent": {Type: contract.AuthorityPath, Path: "/absent"},
		"key for certificate": {Type: contract.AuthorityData, Data: "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"},
	} {
		sources := contract.Sources{SourceAuthorities: map[string][]contract.Authority{"registry.test": {authority}}}
		if err := client(t, sources).CheckSources(); err == nil || !strings.Contains(err.Error(), "authority 0 of source registry.test") {
			t.Errorf("%s: got %v, want an error that names the source", name, err)
		}
	}
}

func TestFetchTimesOut(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	address := slow.Listener.Addr().String()
	c := client(t, contract.Sources{InsecureSources: []string{address}})
	c.config.Timeout = 300 * time.Millisecond
	c.wantError("https://"+address+"/m.wasm", contract.ReasonFetchFailed, "deadline")
}
