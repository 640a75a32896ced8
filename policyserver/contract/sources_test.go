package contract

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeSources(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want Sources
	}{
		"none":         {text: `{}`},
		"unknown keys": {text: "other: 1\n"},
		"nulls":        {text: "insecure_sources: null\nsource_authorities: null\nproxies: null\n"},
		"proxies": {
			text: "proxies: {http_proxy: 'proxy.test:3128', https_proxy: 'https://u:p@proxy.test', no_proxy: '.test,10.0.0.0/8'}",
			want: Sources{Proxies: Proxies{HTTP: "proxy.test:3128", HTTPS: "https://u:p@proxy.test", No: ".test,10.0.0.0/8"}},
		},
		"mirrors": {
			text: "mirrors: {ghcr.io: ['mirror.test:5000/ghcr', other.test], 'docker.io/org': []}",
			want: Sources{Mirrors: Mirrors{"ghcr.io": {"mirror.test:5000/ghcr", "other.test"}, "docker.io/org": {}}},
		},
		"a proxy that is null": {text: "proxies: {http_proxy: null}"},
		"insecure":             {text: "insecure_sources: [registry.test:5000]", want: Sources{InsecureSources: []string{"registry.test:5000"}}},
		"authorities":          {text: "source_authorities:\n  registry.test:\n  - {type: Data, data: PEM}\n  - {type: Path, path: /ca.pem}\n", want: withAuthorities()},
		"authorities, JSON":    {text: `{"source_authorities":{"registry.test":[{"type":"Data","data":"PEM"},{"type":"Path","path":"/ca.pem"}]}}`, want: withAuthorities()},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeSources([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func withAuthorities() Sources {
	return Sources{SourceAuthorities: map[string][]Authority{"registry.test": {
		{Type: AuthorityData, Data: "PEM"}, {Type: AuthorityPath, Path: "/ca.pem"},
	}}}
}

func TestDecodeSourcesRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a list":                 {"[]", "want a mapping"},
		"a string for a list":    {"insecure_sources: registry.test", `field "insecure_sources": got "registry.test", want a list`},
		"an authority of a kind": {"source_authorities: {h: [{type: Url, path: x}]}", `type is "Url"; allowed are "Data" with data and "Path" with path`},
		"data without data":      {"source_authorities: {h: [{type: Data}]}", `source_authorities of "h", item 0`},
		"proxies that are a URL": {"proxies: http://proxy.test", `field "proxies": got "http://proxy.test", want an object`},
		"an unknown proxy":       {"proxies: {ftp_proxy: x}", `field "proxies": unknown field "ftp_proxy"; allowed are http_proxy, https_proxy, no_proxy`},
		"a proxy of a kind":      {"proxies: {https_proxy: 'ftp://proxy.test'}", `proxies: https_proxy: got "ftp://proxy.test", want host[:port] or a URL of the scheme http, https, socks5, socks5h`},
		"a mirror alone":         {"mirrors: {ghcr.io: mirror.test}", `field "mirrors": got an object, want a map from registry to a list of mirrors`},
		"a mirror that is a URL": {"mirrors: {ghcr.io: ['https://u:p@mirror.test']}", `mirrors of "ghcr.io", item 0: got "https://mirror.test", want host[:port] or host[:port]/path, without a scheme`},
		"a mirror with a tag":    {"mirrors: {ghcr.io: ['mirror.test/a:v1']}", `got "mirror.test/a:v1", want`},
		"a mirror by one word":   {"mirrors: {ghcr.io: [mirror/a]}", `got "mirror/a", want a host with a dot or a port`},
		"a mirror of nothing":    {"mirrors: {'': [mirror.test]}", `mirrors: key is "", want`},
		"a mirror with a slash":  {"mirrors: {'ghcr.io/': [mirror.test]}", `mirrors: key is "ghcr.io/", want`},
		"a key twice":            {"insecure_sources: []\ninsecure_sources: []\n", "stands twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeSources([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

func TestEncodeSources(t *testing.T) {
	got, err := EncodeSources(withAuthorities())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"source_authorities":{"registry.test":[{"type":"Data","data":"PEM"},{"type":"Path","path":"/ca.pem"}]}}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := EncodeSources(Sources{}); err != nil || string(got) != "{}" {
		t.Errorf("got %s (error %v), want {}", got, err)
	}
}

func TestMirrorsOf(t *testing.T) {
	mirrors := Mirrors{
		"ghcr.io": {"a.test:5000/ghcr", "b.test"}, "ghcr.io/org": {"c.test/x"}, "ghcr.io/org/none": {},
		"docker.io": {"d.test"}, "index.docker.io/org": {"e.test"}, "r.test:5000": {"f.test"},
	}
	for repository, want := range map[string][]string{
		"ghcr.io/other/policy":          {"a.test:5000/ghcr/other/policy", "b.test/other/policy"},
		"ghcr.io/org/policy":            {"c.test/x/policy"},
		"ghcr.io/org":                   {"c.test/x"},
		"ghcr.io/organic/policy":        {"a.test:5000/ghcr/organic/policy", "b.test/organic/policy"},
		"ghcr.io/org/none/policy":       {},
		"ghcr.io.test/policy":           nil,
		"index.docker.io/library/x":     {"d.test/library/x"},
		"index.docker.io/org/x":         {"e.test/x"},
		"r.test:5000/x":                 {"f.test/x"},
		"r.test/x":                      nil,
		"index.docker.io.other.test/x":  nil,
		"other.test/ghcr.io/org/policy": nil,
	} {
		if diff := cmp.Diff(want, mirrors.Of(repository)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", repository, diff)
		}
	}
}

func TestParseProxy(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"proxy.test":                 "http://proxy.test",
		"proxy.test:3128":            "http://proxy.test:3128",
		"[::1]:3128":                 "http://[::1]:3128",
		"user:secret@proxy.test:1":   "http://user:secret@proxy.test:1",
		"https://proxy.test:3129/":   "https://proxy.test:3129/",
		"socks5h://u:s%40@proxy:108": "socks5h://u:s%40@proxy:108",
	} {
		got, err := ParseProxy(text)
		if err != nil || (got == nil) != (want == "") || got != nil && got.String() != want {
			t.Errorf("%q: got %v (error %v), want %q", text, got, err, want)
		}
	}
}

func TestParseProxyRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"ftp://user:secret@proxy.test": `got "ftp://proxy.test", want host[:port]`,
		"http://user:sec/ret@host:1":   `got "http://host:1"`,
		"user:sec://ret@host:x":        `got "host:x"`,
		"http://user:se@cret@host:x":   `got "http://host:x"`,
		"proxy.test:port":              `got "proxy.test:port"`,
		"http://":                      `got "http://"`,
		":3128":                        `got ":3128"`,
		"http://proxy.test/?secret":    "nothing behind the port",
		"http://proxy.test/secret":     "nothing behind the port",
	} {
		_, err := ParseProxy(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sec") || strings.Contains(err.Error(), "ret") {
			t.Errorf("%q: got %v, want an error with %q and without the password", text, err, want)
		}
	}
}
