package fetch

import (
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// mirrored is a client that trusts all hosts, and knows mirrors of the first.
func mirrored(t *testing.T, log *strings.Builder, mirrors []string, hosts ...*host) testClient {
	t.Helper()
	sources := contract.Sources{
		Mirrors:           contract.Mirrors{hosts[0].address(): mirrors},
		SourceAuthorities: map[string][]contract.Authority{},
	}
	for _, h := range hosts {
		maps.Copy(sources.SourceAuthorities, h.trusted().SourceAuthorities)
	}
	return testClient{New(Config{
		Dir: t.TempDir(), Sources: sources, Timeout: 20 * time.Second, Logger: slog.New(slog.NewJSONHandler(log, nil)),
	}), t}
}

func TestFetchFromMirror(t *testing.T) {
	registry, mirror := newTLSHost(t), newTLSHost(t)
	manifest := registry.push(t, "v1", layer{module("one"), MediaTypeModule})
	mirror.push(t, "v1", layer{module("one"), MediaTypeModule})
	mirror.push(t, "v2", layer{module("two"), MediaTypeModule})
	before := registry.requests.Load()
	for url, want := range map[string]string{
		registry.url("v1"): "one", registry.url("v2"): "two", registry.address() + "/policies@" + manifest: "one",
	} {
		var log strings.Builder
		c := mirrored(t, &log, []string{mirror.address()}, registry, mirror)
		c.wantModule(url, "", module(want))
		if text := `"from":"` + mirror.address() + "/policies"; !strings.Contains(log.String(), text) {
			t.Errorf("%s: got log %s, want %s", url, &log, text)
		}
	}
	if got := registry.requests.Load() - before; got > 0 {
		t.Errorf("got %d requests to the registry, want none", got)
	}
}

func TestFetchFromMirrorUnderAPath(t *testing.T) {
	registry, mirror := newTLSHost(t), newTLSHost(t)
	mirror.push(t, "v1", layer{module("one"), MediaTypeModule}) // as policies:v1
	var log strings.Builder
	c := mirrored(t, &log, []string{mirror.address() + "/policies"}, registry, mirror)
	c.config.Sources.Mirrors = contract.Mirrors{registry.address() + "/org/some": {mirror.address() + "/policies"}}
	c.wantModule(registry.address()+"/org/some:v1", "", module("one"))
	c.config.Sources.Mirrors = contract.Mirrors{registry.address() + "/org/some": {mirror.address()}}
	c.wantError(registry.address()+"/org/some:v1", contract.ReasonModuleNotFound, "has no path")
}

// holding gives a mirror something in the place of the module.
func holding(content []byte) func(*testing.T, *host) {
	return func(t *testing.T, mirror *host) {
		t.Helper()
		mirror.push(t, "v1", layer{content, MediaTypeModule})
	}
}

// What a mirror cannot give, or should not, the next one does, or the registry.
func TestFetchPassesOverMirrors(t *testing.T) {
	content := module("one")
	for name, tc := range map[string]struct {
		spoil  func(t *testing.T, mirror *host)
		digest string
		want   string // in the log
	}{
		"down":             {spoil: func(_ *testing.T, mirror *host) { mirror.Close() }, want: "connection refused"},
		"without it":       {spoil: func(*testing.T, *host) {}, want: "NAME_UNKNOWN"},
		"forbidding it":    {spoil: func(_ *testing.T, mirror *host) { mirror.status.Store(http.StatusForbidden) }, want: "403"},
		"failing":          {spoil: func(_ *testing.T, mirror *host) { mirror.status.Store(http.StatusBadGateway) }, want: "502"},
		"with no module":   {spoil: holding([]byte("text")), want: "invalid wasm file"},
		"with another one": {spoil: holding(module("two")), digest: digestOf(content), want: "BLOB_UNKNOWN"},
		"with a forged one": {
			spoil: func(_ *testing.T, mirror *host) {
				mirror.files["/v2/policies/blobs/"+digestOf(content)] = module("two")
			}, digest: digestOf(content), want: "error verifying sha256",
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry, mirror := newTLSHost(t), newTLSHost(t)
			registry.push(t, "v1", layer{content, MediaTypeModule})
			tc.spoil(t, mirror)
			var log strings.Builder
			c := mirrored(t, &log, []string{mirror.address()}, registry, mirror)
			c.wantModule(registry.url("v1"), tc.digest, content)
			for _, text := range []string{"mirror passed over", tc.want, `"from":"` + registry.address()} {
				if !strings.Contains(log.String(), text) {
					t.Errorf("got log %s, want %q in it", &log, text)
				}
			}
		})
	}
}

func TestFetchAsksMirrorsInTheirOrder(t *testing.T) {
	registry, first, second := newTLSHost(t), newTLSHost(t), newTLSHost(t)
	second.push(t, "v1", layer{module("one"), MediaTypeModule})
	var log strings.Builder
	c := mirrored(t, &log, []string{first.address(), second.address()}, registry, first, second)
	c.wantModule(registry.url("v1"), "", module("one"))
	first.push(t, "v1", layer{module("first"), MediaTypeModule})
	c.wantModule(registry.url("v1"), "", module("first"))

	// The reason is that of the registry; what the mirrors said is told.
	registry.status.Store(http.StatusForbidden)
	c.wantError(registry.url("v2"), contract.ReasonModuleForbidden, "; mirrors: "+first.address()+"/policies: ")
	c.wantError(registry.url("v2"), contract.ReasonModuleForbidden, second.address()+"/policies: GET")
}

func TestFetchLeavesTimeForWhatComesAfterAMirror(t *testing.T) {
	registry, mirror := newTLSHost(t), newTLSHost(t)
	registry.push(t, "v1", layer{module("one"), MediaTypeModule})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	mirror.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	var log strings.Builder
	c := mirrored(t, &log, []string{mirror.address()}, registry, mirror)
	c.config.Timeout = 6 * time.Second
	c.wantModule(registry.url("v1"), "", module("one"))
}

// A mirror is trusted by its own name, not as the registry is.
func TestFetchTrustsMirrorsByTheirNames(t *testing.T) {
	registry, mirror := newTLSHost(t), newPlainHost(t)
	mirror.push(t, "v1", layer{module("one"), MediaTypeModule})
	sources := registry.trusted()
	sources.Mirrors = contract.Mirrors{registry.address(): {mirror.address()}}
	sources.InsecureSources = []string{registry.address()}
	client(t, sources).wantError(registry.url("v1"), contract.ReasonModuleNotFound, "mirrors: "+mirror.address())
	sources.InsecureSources = []string{mirror.address()}
	client(t, sources).wantModule(registry.url("v1"), "", module("one"))
}

// A mirror has signatures of its own; one without them is passed over.
func TestFetchVerifiesWhatMirrorsGive(t *testing.T) {
	registry, mirror := newTLSHost(t), newTLSHost(t)
	key, wanted := newSigner(t)
	signed := registry.push(t, "v1", layer{module("signed"), MediaTypeModule})
	registry.sign(t, key, signed, signed)
	mirror.push(t, "v1", layer{module("unsigned"), MediaTypeModule})
	var log strings.Builder
	c := mirrored(t, &log, []string{mirror.address()}, registry, mirror)
	c.config.Verification = wanted
	c.wantModule(registry.url("v1"), "", module("signed"))

	registry.Close()
	c.wantError(registry.url("v1"), contract.ReasonFetchFailed, "mirrors: ")
	replaced := mirror.push(t, "v1", layer{module("signed"), MediaTypeModule})
	mirror.sign(t, key, replaced, replaced)
	c.wantModule(registry.url("v1"), "", module("signed"))
}
