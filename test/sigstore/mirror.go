package sigstore

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Mirror is a repository on loopback from which a trust root is fetched, by The Update
// Framework.
type Mirror struct {
	*httptest.Server

	root   *metadata.Metadata[metadata.RootType]
	signer signature.Signer // of every role

	mu       sync.Mutex
	version  int64
	files    map[string][]byte
	requests int
	down     bool
}

// NewMirror makes a repository that holds nothing yet.
func NewMirror(t testing.TB) *Mirror {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &Mirror{files: map[string][]byte{}}
	if m.signer, err = signature.LoadSigner(key, crypto.Hash(0)); err != nil {
		t.Fatal(err)
	}
	public, err := metadata.KeyFromPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	m.root = metadata.Root(time.Now().Add(validity))
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if err := m.root.Signed.AddKey(public, role); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.root.Sign(m.signer); err != nil {
		t.Fatal(err)
	}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// Root is what the repository is trusted by.
func (m *Mirror) Root(t testing.TB) []byte {
	t.Helper()
	data, err := m.root.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Publish puts a trust root in the place of the former. Clients believe until expiry that
// there is no other.
func (m *Mirror) Publish(t testing.TB, trustedRoot []byte, expiry time.Time) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	const name = "trusted_root.json"
	targets := metadata.Targets(expiry)
	file, err := metadata.TargetFile().FromBytes(name, trustedRoot, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	targets.Signed.Targets[name], targets.Signed.Version = file, m.version
	snapshot := metadata.Snapshot(expiry)
	snapshot.Signed.Meta["targets.json"], snapshot.Signed.Version = metadata.MetaFile(m.version), m.version
	timestamp := metadata.Timestamp(expiry)
	timestamp.Signed.Meta["snapshot.json"], timestamp.Signed.Version = metadata.MetaFile(m.version), m.version
	m.files = map[string][]byte{
		fmt.Sprintf("/targets/%x.%s", sha256.Sum256(trustedRoot), name): trustedRoot,
		fmt.Sprintf("/%d.targets.json", m.version):                      sealedMetadata(t, targets, m.signer),
		fmt.Sprintf("/%d.snapshot.json", m.version):                     sealedMetadata(t, snapshot, m.signer),
		"/timestamp.json": sealedMetadata(t, timestamp, m.signer),
	}
}

func sealedMetadata[T metadata.Roles](t testing.TB, data *metadata.Metadata[T], signer signature.Signer) []byte {
	t.Helper()
	if _, err := data.Sign(signer); err != nil {
		t.Fatal(err)
	}
	encoded, err := data.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// SetDown makes the repository answer nothing but errors, or ends that.
func (m *Mirror) SetDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// Requests counts the requests until now.
func (m *Mirror) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

// ServeHTTP answers with the files of the repository.
func (m *Mirror) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	content, found := m.files[request.URL.Path]
	switch {
	case m.down:
		writer.WriteHeader(http.StatusServiceUnavailable)
	case !found:
		writer.WriteHeader(http.StatusNotFound)
	default:
		_, _ = writer.Write(content)
	}
}
