package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// hostileRegistry answers with any manifest and any blob.
type hostileRegistry struct {
	mutex                     sync.Mutex
	mediaType, manifest, blob []byte
}

func (r *hostileRegistry) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	switch {
	case strings.Contains(request.URL.Path, "/manifests/"):
		writer.Header()["Content-Type"] = []string{string(r.mediaType)}
		_, _ = writer.Write(r.manifest)
	case strings.Contains(request.URL.Path, "/blobs/"):
		_, _ = writer.Write(r.blob)
	default:
		writer.WriteHeader(http.StatusOK)
	}
}

// Whatever a registry answers, what is fetched is a module with the digest that the
// manifest names, or an error that says what to do about it.
func FuzzManifest(f *testing.F) {
	good := module("good")
	manifest := func(mediaType, digest string, size int) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
			`"config":{"mediaType":%q,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},`+
			`"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`, MediaTypeConfig, mediaType, digest, size)
	}
	const oci = "application/vnd.oci.image.manifest.v1+json"
	f.Add([]byte(oci), manifest(string(MediaTypeModule), digestOf(good), len(good)), good)
	f.Add([]byte(oci), manifest(string(MediaTypeModule), digestOf(good), 1<<40), good)
	f.Add([]byte(oci), manifest(string(MediaTypeModule), digestOf([]byte("other")), len(good)), good)
	f.Add([]byte(oci), manifest("text/plain", digestOf(good), len(good)), good)
	f.Add([]byte(oci), []byte(`{"schemaVersion":2,"layers":null}`), good)
	f.Add([]byte("application/vnd.oci.image.index.v1+json"), []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:00","size":-1}]}`), []byte{})
	f.Add([]byte("application/vnd.docker.distribution.manifest.v1+json"), []byte(`{"fsLayers":[]}`), good)
	f.Add([]byte(""), []byte(`[`), []byte(nil))
	registry := &hostileRegistry{}
	server := httptest.NewUnstartedServer(registry)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	f.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	client := New(Config{
		Dir: f.TempDir(), MaxModuleBytes: 1 << 16, Timeout: 10 * time.Second,
		Sources: contract.Sources{InsecureSources: []string{address}},
	})
	f.Fuzz(func(t *testing.T, mediaType, manifest, blob []byte) {
		registry.mutex.Lock()
		registry.mediaType, registry.manifest, registry.blob = bytes.Map(printable, mediaType), manifest, blob
		registry.mutex.Unlock()
		got, err := client.Fetch(t.Context(), "registry://"+address+"/policies:latest", "")
		if err != nil {
			if failure, is := errors.AsType[*Error](err); !is || failure.Reason() == "" || failure.Error() == "" {
				t.Fatalf("got %#v, want an *Error with a reason", err)
			}
			return
		}
		if !bytes.HasPrefix(got, wasmMagic) || !bytes.Contains(manifest, []byte(digestOf(got)[len("sha256:"):])) {
			t.Errorf("got %q by the manifest %s", got, manifest)
		}
	})
}

// printable leaves out what no header can hold.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
