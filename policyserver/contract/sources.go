package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Sources is sources.yml: which registries and servers may be reached without
// verified TLS, which further authorities are trusted, and which proxies lead there. The
// format is upstream's (crate policy-fetcher, sources.rs), and mirrors are ours; only its
// documentation, not its code, gives proxies an effect. Any other key is ignored.
type Sources struct {
	// InsecureSources are host or host:port names reached by unverified TLS or plain HTTP.
	InsecureSources []string `json:"insecure_sources,omitempty"`
	// SourceAuthorities are further certificate authorities by host or host:port. They
	// are trusted in addition to the system's.
	SourceAuthorities map[string][]Authority `json:"source_authorities,omitempty"`
	// Proxies have precedence over those of the environment, each field for itself.
	Proxies Proxies `json:"proxies,omitzero"`
	// Mirrors are asked before registries. Upstream's servers know no such key and pass it
	// over.
	Mirrors Mirrors `json:"mirrors,omitempty"`
}

// Authority is one trusted certificate authority.
type Authority struct {
	// Type is AuthorityData (Data holds PEM text) or AuthorityPath (Path names a file
	// with PEM or DER).
	Type string `json:"type"`
	Data string `json:"data,omitempty"`
	Path string `json:"path,omitempty"`
}

// Authority types.
const (
	AuthorityData = "Data"
	AuthorityPath = "Path"
)

// DecodeSources reads sources.yml, YAML 1.2 or JSON.
func DecodeSources(data []byte) (Sources, error) {
	fields, refused, err := splitMapping(data)
	if err != nil {
		return Sources{}, fmt.Errorf("decode sources: %w", err)
	}
	var sources Sources
	places := map[string]fieldDecoder{
		"insecure_sources":   typed(&sources.InsecureSources, "a list of host or host:port names"),
		"source_authorities": typed(&sources.SourceAuthorities, "a map from host to a list of authorities"),
		"proxies":            proxies(&sources.Proxies),
		"mirrors":            typed(&sources.Mirrors, "a map from registry to a list of mirrors"),
	}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		if err := refused[name]; err != nil {
			return Sources{}, fmt.Errorf("decode sources: field %q: %w", name, err)
		}
		if raw, found := fields[name]; found {
			if err := places[name](raw); err != nil {
				return Sources{}, fmt.Errorf("decode sources: field %q: %w", name, err)
			}
		}
	}
	if err := sources.validate(); err != nil {
		return Sources{}, fmt.Errorf("decode sources: %w", err)
	}
	return sources, nil
}

func (s Sources) validate() error {
	for _, host := range slices.Sorted(maps.Keys(s.SourceAuthorities)) {
		for i, authority := range s.SourceAuthorities[host] {
			filled := (authority.Type == AuthorityData && authority.Data != "") ||
				(authority.Type == AuthorityPath && authority.Path != "")
			if !filled {
				return fmt.Errorf("source_authorities of %q, item %d: type is %q; allowed are %q with data and %q with path",
					host, i, authority.Type, AuthorityData, AuthorityPath)
			}
		}
	}
	if err := s.Proxies.validate(); err != nil {
		return err
	}
	return s.Mirrors.validate()
}

// EncodeSources writes sources.yml as compact JSON with sorted keys.
func EncodeSources(sources Sources) ([]byte, error) {
	if err := sources.validate(); err != nil {
		return nil, fmt.Errorf("encode sources: %w", err)
	}
	return json.Marshal(sources)
}
