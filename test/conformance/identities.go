package conformance

import (
	"encoding/json"
	"fmt"
	"testing"

	registries "github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// Who vouches for the identities of case files.
const (
	someIssuer   = "https://oidc.test"
	githubIssuer = "https://token.actions.githubusercontent.com"
)

// machine stands in for a test where there is none yet, and fails like must: there is nothing
// that can go wrong but the machine.
type machine struct{ testing.TB }

// Helper does nothing.
func (machine) Helper() {}

// Fatal panics.
func (machine) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Fatalf panics.
func (machine) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// signedByIdentities puts images into a registry: apps:alice was signed by alice@test,
// apps:project by https://git.test/team/app, apps:workflow by a workflow of the repository
// kubewarden/policy, and apps:unlogged by bob@test, whom no transparency log knows. Each has
// the annotation env=prod. The results are the certificates of alice and bob, as policies send
// them.
func signedByIdentities(address string, by *sigstore.Sigstore) (alices, bobs string) {
	alices = signAs(address, "alice", by, sigstore.Signer{Issuer: someIssuer, Email: "alice@test"})
	bobs = signAs(address, "unlogged", by, sigstore.Signer{Issuer: someIssuer, Email: "bob@test", Without: sigstore.TransparencyLog})
	signAs(address, "project", by, sigstore.Signer{Issuer: someIssuer, URI: "https://git.test/team/app"})
	signAs(address, "workflow", by, sigstore.Signer{
		Issuer: githubIssuer, Repository: "kubewarden/policy",
		URI: "https://github.com/kubewarden/policy/.github/workflows/release.yml@refs/tags/v1",
	})
	return alices, bobs
}

// signAs pushes an image with a signature, and gives the certificate of who signed it as a list
// of numbers.
func signAs(address, tag string, by *sigstore.Sigstore, signer sigstore.Signer) string {
	reference := push(address+"/apps:"+tag, tag)
	descriptor, err := registries.Head(reference)
	must(err)
	digest := descriptor.Digest.String()
	payload, err := signaturetest.Payload(digest, map[string]string{"env": "prod"})
	must(err)
	annotations := by.Layer(machine{}, signer, payload)
	must(signaturetest.Attach(reference.Context().Digest(digest), payload, []map[string]string{annotations}))
	certificate := annotations[signature.AnnotationCertificate]
	numbers := make([]int, 0, len(certificate))
	for _, octet := range []byte(certificate) {
		numbers = append(numbers, int(octet))
	}
	encoded, err := json.Marshal(numbers)
	must(err)
	return string(encoded)
}
