package policyserver

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/trustroot"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// aliceSigns is a verification.yml, and alice is who it wants.
const aliceSigns = "apiVersion: v1\nallOf:\n- {kind: genericIssuer, issuer: https://oidc.test, subject: {equal: alice@test}}\n"

func alice() sigstore.Signer {
	return sigstore.Signer{Issuer: "https://oidc.test", Email: "alice@test"}
}

// signAs signs what a module's URL stands for by an identity.
func (i images) signAs(t *testing.T, s *sigstore.Sigstore, signer sigstore.Signer, url string) {
	t.Helper()
	reference, err := name.ParseReference(strings.TrimPrefix(url, "registry://"))
	if err != nil {
		t.Fatal(err)
	}
	transport := remote.WithTransport(i.Client().Transport)
	descriptor, err := remote.Head(reference, transport)
	if err != nil {
		t.Fatal(err)
	}
	digest := descriptor.Digest.String()
	payload, err := signaturetest.Payload(digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := signaturetest.Attach(reference.Context().Digest(digest), payload, []map[string]string{s.Layer(t, signer, payload)}, transport); err != nil {
		t.Fatal(err)
	}
}

func TestServeModulesThatAnIdentitySigned(t *testing.T) {
	from, own, foreign := newImages(t), sigstore.New(t), sigstore.New(t)
	signed := from.push(t, "signed", wasmtest.Answering(`{"accepted":false,"message":"signed"}`))
	strange := from.push(t, "strange", wasmtest.Answering(`{"accepted":false,"message":"strange"}`))
	from.signAs(t, own, alice(), signed)
	from.signAs(t, foreign, alice(), strange)
	files, _ := fromFiles(t, from, contract.Policies{"a": {Module: signed}, "b": {Module: strange}})
	demanded, root := filepath.Join(t.TempDir(), "verification.yml"), filepath.Join(t.TempDir(), "root.json")
	write(t, demanded, []byte(aliceSigns))
	write(t, root, own.TrustedRoot(t, 0))
	s := start(t, Config{Files: files, Verification: demanded, SigstoreTrust: root})
	s.waitReady(t)
	if got := s.ask(t, "a", "{}").Message; got != "signed" {
		t.Errorf("got %q from the signed module", got)
	}
	if got := s.ask(t, "b", "{}"); got.Allowed || !strings.Contains(got.Message, "Image verification failed") {
		t.Errorf("got %+v from the module that another authority vouches for, want a denial", got)
	}

	// Another trust root is another demand: nothing that was verified by the former counts.
	write(t, root, foreign.TrustedRoot(t, 0))
	eventually(t, "the end of the module whose authority is trusted no more", func() bool {
		return strings.Contains(s.ask(t, "a", "{}").Message, "cannot be verified") && s.ask(t, "b", "{}").Message == "strange"
	})
	write(t, root, []byte("{}"))
	time.Sleep(time.Second) // what cannot be understood changes nothing
	if got := s.ask(t, "b", "{}").Message; got != "strange" {
		t.Errorf("got %q after a trust root that is none, want what served before", got)
	}
}

// The server starts without the public trust root, and is ready once what needs it is loaded.
func TestServeModulesByThePublicTrustRoot(t *testing.T) {
	from, public, mirror := newImages(t), sigstore.New(t), sigstore.NewMirror(t)
	signed := from.push(t, "signed", wasmtest.Answering(`{"accepted":false,"message":"signed"}`))
	from.signAs(t, public, alice(), signed)
	files, _ := fromFiles(t, from, contract.Policies{"a": {Module: signed}})
	demanded := filepath.Join(t.TempDir(), "verification.yml")
	write(t, demanded, []byte(aliceSigns))
	mirror.SetDown(true)
	s := start(t, Config{Files: files, Verification: demanded, PublicTrust: trustroot.Config{
		Dir: t.TempDir(), Mirror: mirror.URL, Root: mirror.Root(t), RetryFirst: 10 * time.Millisecond, RetryMost: 100 * time.Millisecond,
	}})
	eventually(t, "the reason why the policy is not loaded", func() bool {
		failure := s.environment.Snapshot().Failures["a"]
		return failure.Reason == contract.ReasonUnavailable && strings.Contains(failure.Cause, "fetch the public trust root of Sigstore")
	})
	if err := s.ready(); err == nil {
		t.Error("the server is ready without a policy that may still be loaded")
	}
	mirror.Publish(t, public.TrustedRoot(t, 0), time.Now().Add(time.Hour))
	mirror.SetDown(false)
	s.waitReady(t)
	if got := s.ask(t, "a", "{}").Message; got != "signed" {
		t.Errorf("got %q from the signed module", got)
	}
}

func TestNewRefusesATrustRootThatItCannotRead(t *testing.T) {
	files, _ := fromFiles(t, newImages(t), contract.Policies{})
	demanded, root := filepath.Join(t.TempDir(), "verification.yml"), filepath.Join(t.TempDir(), "root.json")
	write(t, demanded, []byte(aliceSigns))
	for content, want := range map[string]string{"": "no such file", "{}": "unsupported TrustedRoot media type", "[]": "no JSON object"} {
		if content != "" {
			write(t, root, []byte(content))
		}
		config := Config{Files: files, Verification: demanded, SigstoreTrust: root, Now: time.Now, DownloadDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
		if content == "" {
			config.SigstoreTrust += ".absent"
		}
		if _, err := New(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), root) {
			t.Errorf("%q: got %v, want an error that names the file and contains %q", content, err, want)
		}
	}
}
