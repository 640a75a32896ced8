package render_test

import (
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func TestCertificateAuthority(t *testing.T) {
	in := render.CertificateAuthorityInput{
		Config: config(), Installation: installation(), Issued: render.CertificateCA, Signer: render.CertificateCA,
		Terms: render.DefaultTerms().Authority,
	}
	golden(t, "certificate-authority", render.CertificateAuthority(in)...)
	in.Issued, in.MadeFor, in.MadeBecause = render.CertificateCA+"-0123abcd", "monday", "somebody asks for it"
	golden(t, "certificate-authority-next", render.CertificateAuthority(in)...)
}

func TestCertificateSecrets(t *testing.T) {
	in := render.PublishedCAInput{
		Config: config(), Installation: installation(),
		Current:   []byte("new"),
		ChangedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("two hours ahead", 7200)),
	}
	alone := render.PublishedCA(in)
	in.Old = []byte("old")
	pair := render.ServingSecretInput{
		Config: config(), Installation: installation(), PolicyServer: "default",
		Certificate: []byte("chain"), Key: []byte("key"),
	}
	since := pair
	since.PresentedAt = "2026-11-23T10:00:00Z"
	golden(t, "certificate-secrets", alone, render.PublishedCA(in), render.ServingSecret(pair), render.ServingSecret(since))
}

func TestBuiltInProvider(t *testing.T) {
	authority := render.BuiltInAuthorityInput{
		Config: config(), Installation: installation(), Because: "Issued: cert-manager is not installed",
	}
	metadata := render.BuiltInAuthority(authority)
	authority.Certificate, authority.Key = []byte("certificate"), []byte("key")
	next := authority
	next.MadeFor, next.MadeBecause = "monday", "somebody asks for it"
	golden(t, "certificate-built-in", render.BuiltInAuthority(authority), metadata, render.BuiltInAuthorityNext(next), render.IssuedSecret(render.ServingSecretInput{
		Config: config(), Installation: installation(), PolicyServer: "default",
		Certificate: []byte("chain"), Key: []byte("key"),
	}))
}

// requested is a Certificate of the operator's own authority where nothing is said.
func requested(certificate *certmanagerv1.Certificate) *certmanagerv1.Certificate {
	return render.RequestedFrom(render.OwnIssuer(render.IssuerCA), render.DefaultTerms().Leaf, certificate)
}

func TestCertificatesOnOtherTerms(t *testing.T) {
	size := int32(384)
	terms := render.NewTerms(operatorv1alpha1.Certificates{
		CADuration: &metav1.Duration{Duration: 1000 * time.Hour}, CAPrivateKey: &operatorv1alpha1.CertificateKey{Size: &size},
		Duration: &metav1.Duration{Duration: 48 * time.Hour}, RenewBefore: &metav1.Duration{Duration: time.Hour},
		PrivateKey: &operatorv1alpha1.CertificateKey{Algorithm: operatorv1alpha1.KeyAlgorithmRSA},
	})
	issuer := cmmetav1.IssuerReference{Group: "issuers.example.com", Kind: "CloudIssuer", Name: "company"}
	before := render.ServingCertificate(config(), installation(), "default")
	untouched := before.DeepCopy()
	authority := render.CertificateAuthority(render.CertificateAuthorityInput{
		Config: config(), Installation: installation(), Issued: render.CertificateCA, Signer: render.CertificateCA, Terms: terms.Authority,
	})
	golden(t, "certificate-terms", authority[1], render.RequestedFrom(issuer, terms.Leaf, before))
	if diff := cmp.Diff(untouched, before); diff != "" {
		t.Errorf("the Certificate itself changed (-was +is):\n%s", diff)
	}
}

func TestServingCertificate(t *testing.T) {
	golden(t, "certificate-serving", requested(render.ServingCertificate(config(), installation(), "default")))
}

func TestServingCertificateFitsEveryName(t *testing.T) {
	const name = "a-name-of-the-greatest-length-that-the-api-allows"
	if len(name) != 49 {
		t.Fatalf("the name has %d characters, want 49", len(name))
	}
	if name := render.ServingCertificate(config(), installation(), name).Spec.CommonName; name != "" {
		t.Errorf("the common name is %q: it may have 64 bytes at most, so it must be left out", name)
	}
}

func TestDefaultPolicyServer(t *testing.T) {
	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: "kubewarden"}}
	t.Run("as the Kubewarden says", func(t *testing.T) {
		kubewarden := kubewarden.DeepCopy()
		kubewarden.Spec.DefaultPolicyServer.Spec = policiesv1.PolicyServerSpec{Replicas: new(int32(3))}
		golden(t, "default-policyserver", render.DefaultPolicyServer(kubewarden))
	})
	t.Run("not when it is switched off", func(t *testing.T) {
		kubewarden := kubewarden.DeepCopy()
		kubewarden.Spec.DefaultPolicyServer.Enabled = new(false)
		if got := render.DefaultPolicyServer(kubewarden); got != nil {
			t.Errorf("got %s, want none", got.Name)
		}
	})
}
