package contract

// Sources is sources.yml: which registries and servers may be reached without
// verified TLS, and which further authorities are trusted. The format is upstream's
// (crate policy-fetcher, sources.rs).
type Sources struct {
	// InsecureSources are host or host:port names reached by unverified TLS or plain HTTP.
	InsecureSources []string `json:"insecure_sources,omitempty"`
	// SourceAuthorities are further certificate authorities by host or host:port.
	SourceAuthorities map[string][]Authority `json:"source_authorities,omitempty"`
}

// Authority is one trusted certificate authority.
type Authority struct {
	// Type is "Data" (Data holds PEM or DER text) or "Path" (Path names a file).
	Type string `json:"type"`
	Data string `json:"data,omitempty"`
	Path string `json:"path,omitempty"`
}

// Authority types.
const (
	AuthorityData = "Data"
	AuthorityPath = "Path"
)
