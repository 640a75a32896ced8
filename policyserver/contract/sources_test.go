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
		"none":              {text: `{}`},
		"unknown keys":      {text: "proxies: {http_proxy: x}\nother: 1\n"},
		"nulls":             {text: "insecure_sources: null\nsource_authorities: null\n"},
		"insecure":          {text: "insecure_sources: [registry.test:5000]", want: Sources{InsecureSources: []string{"registry.test:5000"}}},
		"authorities":       {text: "source_authorities:\n  registry.test:\n  - {type: Data, data: PEM}\n  - {type: Path, path: /ca.pem}\n", want: withAuthorities()},
		"authorities, JSON": {text: `{"source_authorities":{"registry.test":[{"type":"Data","data":"PEM"},{"type":"Path","path":"/ca.pem"}]}}`, want: withAuthorities()},
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
