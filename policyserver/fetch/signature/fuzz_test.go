package signature

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// Whatever stands in a bundle or in the annotations of a layer, it is judged, and nobody
// has signed what is not one of the seeds.
func FuzzCheck(f *testing.F) {
	s := sigstore.New(f)
	trust, err := ParseTrust(s.TrustedRoot(f, 0))
	if err != nil {
		f.Fatal(err)
	}
	alice := sigstore.Signer{Issuer: oidc, Email: "alice@test", Timestamped: true}
	payload := []byte(`{"critical":{"type":"` + payloadType + `","image":{"docker-manifest-digest":"` + other + `"}}}`)
	seed := s.Layer(f, alice, payload)
	add := func(bundle []byte) {
		f.Add(bundle, payload, seed[AnnotationSignature], seed[AnnotationCertificate], seed[AnnotationBundle], seed[AnnotationTimestamp])
	}
	add(s.StatementBundle(f, alice, sigstore.Statement(f, PredicateSign, other, nil)))
	add(s.MessageBundle(f, alice, payload))
	add(sigstore.KeyMessageBundle(f, func([]byte) []byte { return []byte("signature") }, payload))
	f.Fuzz(func(t *testing.T, bundle, payload []byte, signature, certificate, log, timestamp string) {
		layer := Layer{payload, map[string]string{
			AnnotationSignature: signature, AnnotationCertificate: certificate, AnnotationBundle: log, AnnotationTimestamp: timestamp,
		}}
		for _, wanted := range []contract.Signature{subject("alice@test"), newECDSA(t).wanted()} {
			if err := Check(all(wanted), trust, digest, []Proof{NewBundle(bundle), layer}); err == nil {
				t.Errorf("a signature of another artefact, or of nobody, meets %+v", wanted)
			}
		}
	})
}

// A trust root that can be read verifies or refuses.
func FuzzParseTrust(f *testing.F) {
	s := sigstore.New(f)
	alice := sigstore.Signer{Issuer: oidc, Email: "alice@test", Timestamped: true}
	bundle := NewBundle(s.StatementBundle(f, alice, sigstore.Statement(f, PredicateSign, digest, nil)))
	f.Add(s.TrustedRoot(f, 0))
	f.Add(s.TrustedRoot(f, sigstore.CertificateLog|sigstore.TransparencyLog))
	f.Fuzz(func(_ *testing.T, data []byte) {
		trust, err := ParseTrust(data)
		if err == nil {
			_ = Check(all(subject("alice@test")), trust, digest, []Proof{bundle})
		}
	})
}
