package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// images is a registry on the loopback interface.
type images struct {
	*httptest.Server

	requests atomic.Int64
}

func newImages(t *testing.T) *images {
	t.Helper()
	i := &images{}
	answer := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	i.Server = httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		i.requests.Add(1)
		answer.ServeHTTP(writer, request)
	}))
	t.Cleanup(i.Close)
	return i
}

// reference names a tag.
func (i *images) reference(tag string) string { return i.Listener.Addr().String() + "/apps:" + tag }

// push stores an image whose configuration names a user.
func (i *images) push(t *testing.T, tag, user string) v1.Image {
	t.Helper()
	image, err := mutate.Config(empty.Image, v1.Config{User: user})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(i.reference(tag))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	return image
}

// digest is that of an image's manifest.
func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	of, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return of.String()
}

// client reaches the registry.
func (i *images) client(t *testing.T) *fetch.Client {
	t.Helper()
	sources := contract.Sources{InsecureSources: []string{i.Listener.Addr().String()}}
	return fetch.New(fetch.Config{Dir: t.TempDir(), Sources: sources})
}

// capability asks the registry.
func (i *images) capability(t *testing.T, ttl time.Duration) *Capability {
	t.Helper()
	c := New(Config{TTL: ttl, Now: time.Now})
	c.Use(i.client(t))
	return c
}

func ask(t *testing.T, c *Capability, operation, payload string) (string, error) {
	t.Helper()
	answer, err := c.Call(t.Context(), host.Request{PolicyID: "kw.cap.mine", Operation: operation, Payload: []byte(payload)})
	return string(answer), err
}

func quoted(text string) string { return fmt.Sprintf("%q", text) }

func TestManifestOperations(t *testing.T) {
	i := newImages(t)
	image := i.push(t, "v1", "jane")
	manifest, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := i.capability(t, time.Minute)
	for operation, want := range map[string]string{
		"v1/manifest_digest":     fmt.Sprintf(`{"digest":%q}`, digest(t, image)),
		"v1/oci_manifest":        string(manifest),
		"v1/oci_manifest_config": fmt.Sprintf(`{"manifest":%s,"digest":%q,"config":%s}`, manifest, digest(t, image), config),
	} {
		for _, reference := range []string{i.reference("v1"), strings.Replace(i.reference("v1"), ":v1", "@"+digest(t, image), 1)} {
			got, err := ask(t, c, operation, quoted(reference))
			if err != nil || got != want {
				t.Errorf("%s of %s: got %s, %v\nwant %s", operation, reference, got, err, want)
			}
		}
		_, err := ask(t, c, operation, quoted(i.reference("absent")))
		if refusal := host.RefusalError(""); err == nil || errors.As(err, &refusal) {
			t.Errorf("%s: got %v of what is not there, want a failure of the host", operation, err)
		}
	}
}

func TestCallRefusesPayloads(t *testing.T) {
	c := New(Config{Now: time.Now})
	for _, operation := range []string{"v1/manifest_digest", "v1/oci_manifest", "v1/oci_manifest_config"} {
		for payload, want := range map[string]string{
			``:                      "want a reference to an image, as a text in JSON",
			`null`:                  `payload is "null"; want a reference`,
			`{"image":"a"}`:         `want a reference`,
			`"`:                     "unexpected end of JSON input; want a reference",
			`""`:                    `image is "": could not parse reference`,
			`"UPPER"`:               `image is "UPPER": could not parse reference: UPPER; allowed is`,
			`"registry://host/a:b"`: `image is "registry://host/a:b": it has a scheme; allowed is`,
			quoted(strings.Repeat("a", maxReference+1)): "image has 1025 bytes, at most 1024 are allowed",
		} {
			_, err := ask(t, c, operation, payload)
			if refusal := host.RefusalError(""); !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: got %v, want a refusal that contains %q", operation, payload, err, want)
			}
		}
	}
	_, err := ask(t, c, "v9/manifest_digest", `"a"`)
	if err == nil || err.Error() != "unknown operation: v9/manifest_digest" {
		t.Errorf("got %v, want that there is no such operation", err)
	}
	_, err = ask(t, c, "v1/manifest_digest", `"a"`)
	if err == nil || !strings.Contains(err.Error(), "has not been told yet how to reach registries") {
		t.Errorf("got %v, want that there are no registries yet", err)
	}
}

// An answer is kept for its time, for one image by whatever name, and not for another
// operation; it goes when registries are asked in another way.
func TestAnswersAreKept(t *testing.T) {
	i := newImages(t)
	first := digest(t, i.push(t, "latest", "jane"))
	second := i.capability(t, 0)
	c := i.capability(t, time.Hour)
	short := strings.TrimSuffix(i.reference("latest"), ":latest")
	want := func(c *Capability, reference, digest string) {
		t.Helper()
		got, err := ask(t, c, "v1/manifest_digest", quoted(reference))
		if err != nil || got != fmt.Sprintf(`{"digest":%q}`, digest) {
			t.Errorf("%s: got %s, %v, want %s", reference, got, err, digest)
		}
	}
	want(c, i.reference("latest"), first)
	moved := digest(t, i.push(t, "latest", "joe"))
	before := i.requests.Load()
	want(c, i.reference("latest"), first)
	want(c, short, first)
	if got := i.requests.Load() - before; got != 0 {
		t.Errorf("got %d requests for what is kept, want none", got)
	}
	want(second, i.reference("latest"), moved) // keeps nothing
	got, err := ask(t, c, "v1/oci_manifest_config", quoted(short))
	if err != nil || !strings.Contains(got, moved) {
		t.Errorf("got %s, %v, want the other operation to ask for itself", got, err)
	}
	c.Use(i.client(t))
	want(c, i.reference("latest"), moved)
}

// slow are registries that count who asks, and answer when they are let.
type slow struct {
	Registries

	asked atomic.Int64
	let   chan struct{}
}

func (s *slow) Digest(context.Context, string) (string, error) {
	s.asked.Add(1)
	<-s.let
	return "sha256:0", nil
}

func (s *slow) Manifest(context.Context, string) (json.RawMessage, error) {
	return nil, errors.New("away")
}

func TestSameCallsAreMerged(t *testing.T) {
	s := &slow{let: make(chan struct{})}
	c := New(Config{TTL: time.Minute, Now: time.Now})
	c.Use(s)
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if got, err := ask(t, c, "v1/manifest_digest", `"busybox"`); err != nil || got != `{"digest":"sha256:0"}` {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	hasty, cancel := context.WithCancel(t.Context())
	calls.Go(func() {
		_, err := c.Call(hasty, host.Request{Operation: "v1/manifest_digest", Payload: []byte(`"busybox"`)})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v of a call that was given up, want that", err)
		}
	})
	cancel()
	close(s.let)
	calls.Wait()
	if got := s.asked.Load(); got != 1 {
		t.Errorf("registries were asked %d times, want once", got)
	}
	if _, err := ask(t, c, "v1/oci_manifest", `"busybox"`); err == nil || err.Error() != "away" {
		t.Errorf("got %v, want the error of the registry", err)
	}
}

// Whatever a guest sends, it is answered or told what is wrong with it, and no registry is
// asked for what is no reference.
func FuzzCall(f *testing.F) {
	for _, seed := range []string{`"busybox"`, `"a/b:c@sha256:d"`, `""`, `{}`, `null`, `"` + "\xff" + `"`} {
		f.Add("v1/manifest_digest", []byte(seed))
	}
	f.Add("v1/verify", []byte(`{"SigstoreKeylessVerify":{"image":"a","keyless":[{"issuer":"b","subject":"c"}],"annotations":{"d":"e"}}}`))
	f.Add("v2/verify", []byte(`{"type":"SigstoreCertificateVerify","image":"a","certificate":[1,2],"certificate_chain":null,"require_rekor_bundle":true}`))
	f.Fuzz(func(t *testing.T, operation string, payload []byte) {
		c := New(Config{Now: time.Now})
		c.Use(parsing{t: t})
		_, _ = ask(t, c, operation, string(payload))
	})
}

// parsing are registries that every reference must be of.
type parsing struct {
	Registries

	t *testing.T
}

func (p parsing) check(reference string) {
	if again, err := parseReference("image", reference); err != nil || again != reference {
		p.t.Errorf("asked for %q, which is read as %q, %v", reference, again, err)
	}
}

func (p parsing) Digest(_ context.Context, reference string) (string, error) {
	p.check(reference)
	return "", nil
}

func (p parsing) Manifest(_ context.Context, reference string) (json.RawMessage, error) {
	p.check(reference)
	return nil, errors.New("none")
}

func (p parsing) Verify(_ context.Context, reference string, _ fetch.Demand) (string, error) {
	p.check(reference)
	return "", nil
}

func (p parsing) Image(_ context.Context, reference string) (fetch.Image, error) {
	p.check(reference)
	return fetch.Image{}, errors.New("none")
}
