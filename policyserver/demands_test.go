package policyserver

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

func newSigner(t *testing.T) *signaturetest.Signer {
	t.Helper()
	signer, err := signaturetest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// sign signs what a module's URL stands for.
func (i images) sign(t *testing.T, signer *signaturetest.Signer, url string) {
	t.Helper()
	reference, err := name.ParseReference(strings.TrimPrefix(url, "registry://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(reference, remote.WithTransport(i.Client().Transport)); err != nil {
		t.Fatal(err)
	}
}

func TestServeOnlySignedModules(t *testing.T) {
	from, alice, bob := newImages(t), newSigner(t), newSigner(t)
	signed := from.push(t, "signed", wasmtest.Answering(`{"accepted":false,"message":"signed"}`))
	unsigned := from.push(t, "unsigned", wasmtest.Answering(`{"accepted":false,"message":"unsigned"}`))
	from.sign(t, alice, signed)
	policies := contract.Policies{
		"a": {Module: signed}, "b": {Module: unsigned}, "m": {Module: unsigned, PolicyMode: contract.ModeMonitor},
	}
	files, change := fromFiles(t, from, policies)
	demanded := filepath.Join(t.TempDir(), "verification.yml")
	write(t, demanded, alice.Verification())
	var log lines
	s := start(t, Config{Files: files, Verification: demanded, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.waitReady(t)
	if got := s.ask(t, "a", "{}").Message; got != "signed" {
		t.Errorf("got %q from the signed module", got)
	}
	const want = "Policy 'b' cannot be verified: Image verification failed: missing signatures"
	if got := s.ask(t, "b", "{}"); got.Allowed || !strings.Contains(got.Message, want) {
		t.Errorf("got %+v from the unsigned module, want a denial that contains %q", got, want)
	}
	if got := s.ask(t, "m", "{}"); !got.Allowed {
		t.Errorf("got %+v from a policy in monitor mode, which denies nothing", got)
	}

	write(t, demanded, bob.Verification())
	eventually(t, "the end of the module whose key is revoked", func() bool {
		return strings.Contains(s.ask(t, "a", "{}").Message, "cannot be verified")
	})
	if _, serves := s.environment.Snapshot().Policies["a"]; serves {
		t.Error("the report says that the module serves whose key is revoked")
	}

	// What cannot be understood changes nothing.
	write(t, demanded, []byte("apiVersion: v1\nallOf: []\n"))
	eventually(t, "a word about what cannot be understood", func() bool { return strings.Contains(log.String(), "ignore changed demands of signatures") })
	policies["c"] = contract.Entry{Module: signed}
	change(policies)
	eventually(t, "a new policy under the demands of the file before", func() bool {
		return strings.Contains(s.ask(t, "c", "{}").Message, "Policy 'c' cannot be verified")
	})
	write(t, demanded, alice.Verification())
	eventually(t, "the module whose key is trusted again", func() bool { return s.ask(t, "a", "{}").Message == "signed" })
}

func TestNewRefusesDemandsThatItCannotRead(t *testing.T) {
	files, _ := fromFiles(t, newImages(t), contract.Policies{})
	demanded := filepath.Join(t.TempDir(), "verification.yml")
	for content, want := range map[string]string{
		"":                         "no such file",
		"apiVersion: v2\n":         `field "apiVersion": Not a supported configuration version`,
		"apiVersion: v1\nallOf:\n": "config is missing signatures",
	} {
		if content != "" {
			write(t, demanded, []byte(content))
		} else if err := os.Remove(demanded); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for place, config := range map[string]Config{"files": {Files: files}, "live": {Live: &Live{}}} {
			config.Verification, config.Now = demanded, time.Now
			config.DownloadDir, config.Logger = t.TempDir(), slog.New(slog.DiscardHandler)
			if _, err := New(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), demanded) {
				t.Errorf("%s, %q: got %v, want an error that names the file and contains %q", place, content, err, want)
			}
		}
	}
}
