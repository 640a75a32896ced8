package signature

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

const (
	oidc     = "https://oidc.test"
	workflow = "https://github.com/kubewarden/policy/.github/workflows/release.yml@refs/tags/v1"
)

func trusted(t *testing.T, s *sigstore.Sigstore, without sigstore.Part) *Trust {
	t.Helper()
	trust, err := ParseTrust(s.TrustedRoot(t, without))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// byIdentity is a layer that the signer of a Sigstore signed.
func byIdentity(t *testing.T, s *sigstore.Sigstore, signer sigstore.Signer) Layer {
	t.Helper()
	payload := stated(t, payloadType, digest, map[string]any{"env": "prod"})
	return Layer{payload, s.Layer(t, signer, payload)}
}

func subject(equal string) contract.Signature {
	return contract.Signature{Kind: contract.SignatureGenericIssuer, Issuer: oidc, Subject: contract.Subject{Equal: equal}}
}

func prefix(text string) contract.Signature {
	return contract.Signature{Kind: contract.SignatureGenericIssuer, Issuer: oidc, Subject: contract.Subject{URLPrefix: text}}
}

func github(owner, repo string) contract.Signature {
	return contract.Signature{Kind: contract.SignatureGithubAction, Owner: owner, Repo: repo}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want no error", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want an error that contains %q", err, want)
	}
}

func TestCheckIdentities(t *testing.T) {
	s := sigstore.New(t)
	trust := trusted(t, s, 0)
	mail := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test"})
	project := byIdentity(t, s, sigstore.Signer{Issuer: oidc, URI: "https://git.test/team/policy"})
	action := byIdentity(t, s, sigstore.Signer{Issuer: githubIssuer, URI: workflow, Repository: "kubewarden/policy"})
	elsewhere := byIdentity(t, s, sigstore.Signer{Issuer: githubIssuer, URI: "https://github.com.test/kubewarden/policy/x", Repository: "kubewarden/policy"})
	imposter := byIdentity(t, s, sigstore.Signer{Issuer: oidc, URI: workflow, Repository: "kubewarden/policy"})
	nowhere := byIdentity(t, s, sigstore.Signer{Issuer: githubIssuer, URI: workflow})
	reused := byIdentity(t, s, sigstore.Signer{Issuer: githubIssuer, URI: workflow, Repository: "other/policy"})
	for name, tc := range map[string]struct {
		wanted contract.Signature
		layer  Layer
		want   string // part of the error; empty for none
	}{
		"a subject":                 {subject("alice@test"), mail, ""},
		"another subject":           {subject("bob@test"), mail, `a signature is of subject "alice@test", want "bob@test"`},
		"the beginning of another":  {subject("alice@test.org"), mail, `of subject "alice@test"`},
		"another issuer":            {contract.Signature{Kind: contract.SignatureGenericIssuer, Issuer: "https://other.test", Subject: contract.Subject{Equal: "alice@test"}}, mail, `of issuer "https://oidc.test", want "https://other.test"`},
		"no issuer":                 {contract.Signature{Kind: contract.SignatureGenericIssuer, Subject: contract.Subject{Equal: "alice@test"}}, mail, "of issuer"},
		"no subject":                {subject(""), mail, "is wanted, allowed is an identity"},
		"a prefix":                  {prefix("https://git.test/team/"), project, ""},
		"a prefix of another":       {prefix("https://git.test/teams/"), project, `want one that begins with "https://git.test/teams/"`},
		"a prefix within a name":    {prefix("https://git.test/te"), project, "a prefix that ends with a slash"},
		"the whole as a prefix":     {prefix("https://git.test/team/policy/"), project, "want one that begins with"},
		"an annotation":             {annotated(subject("alice@test"), "env", "prod"), mail, ""},
		"an annotation's value":     {annotated(subject("alice@test"), "env", "test"), mail, `lacks the annotation "env" with value "test"`},
		"no such annotation":        {annotated(subject("alice@test"), "absent", "x"), mail, `lacks the annotation "absent"`},
		"an owner":                  {github("kubewarden", ""), action, ""},
		"a repository":              {github("kubewarden", "policy"), action, ""},
		"another owner":             {github("other", ""), action, `of a workflow of repository "kubewarden/policy", want other/(any)`},
		"the beginning of an owner": {github("kube", ""), action, "want kube/(any)"},
		"another repository":        {github("kubewarden", "other"), action, "want kubewarden/other"},
		"an owner with a slash":     {github("kubewarden/policy", ""), action, "want kubewarden/policy/(any)"},
		"no owner":                  {github("", ""), action, "want /(any)"},
		"not GitHub's site":         {github("kubewarden", ""), elsewhere, "want a workflow on https://github.com"},
		"not GitHub's word":         {github("kubewarden", ""), imposter, `of issuer "https://oidc.test", want "` + githubIssuer},
		"no repository":             {github("kubewarden", ""), nowhere, `of repository ""`},
		"a workflow used elsewhere": {github("kubewarden", ""), reused, `of repository "other/policy"`},
		"a key":                     {newECDSA(t).wanted(), mail, errOtherKey.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, Check(all(tc.wanted), trust, digest, []Proof{tc.layer}), tc.want)
		})
	}
}

// Each of these is a signature by the right identity that something is wrong with.
func TestCheckIdentitiesNeedsProof(t *testing.T) {
	s := sigstore.New(t)
	trust := trusted(t, s, 0)
	alice := sigstore.Signer{Issuer: oidc, Email: "alice@test"}
	flawed := func(change func(*sigstore.Signer)) Layer {
		signer := alice
		change(&signer)
		return byIdentity(t, s, signer)
	}
	annotation := func(key, value string) Layer {
		layer := byIdentity(t, s, alice)
		layer.Annotations[key] = value
		return layer
	}
	good, another := byIdentity(t, s, alice), byIdentity(t, s, alice)
	elsewhere := stated(t, payloadType, other, nil)
	for name, tc := range map[string]struct {
		layer Layer
		want  string
	}{
		"all is well":              {good, ""},
		"tampered payload":         {Layer{append([]byte(" "), good.Payload...), good.Annotations}, "digest"},
		"another's signature":      {annotation(AnnotationSignature, another.Annotations[AnnotationSignature]), "signature"},
		"another's certificate":    {annotation(AnnotationCertificate, another.Annotations[AnnotationCertificate]), "certificate does not match"},
		"another's entry":          {annotation(AnnotationBundle, another.Annotations[AnnotationBundle]), "transparency log signature does not match"},
		"another artefact":         {Layer{elsewhere, s.Layer(t, alice, elsewhere)}, `a signature is of the artefact "` + other},
		"foreign authority":        {byIdentity(t, sigstore.New(t), alice), "not enough verified log entries"},
		"no entry":                 {flawed(func(s *sigstore.Signer) { s.Without = sigstore.TransparencyLog }), "not enough verified log entries"},
		"a timestamp for entry":    {flawed(func(s *sigstore.Signer) { s.Without, s.Timestamped = sigstore.TransparencyLog, true }), "not enough verified log entries"},
		"a certificate unlogged":   {flawed(func(s *sigstore.Signer) { s.Without = sigstore.CertificateLog }), "signed certificate timestamp"},
		"expired when it signed":   {flawed(func(s *sigstore.Signer) { s.Late = time.Hour }), "integrated time outside certificate validity"},
		"signed before certified":  {flawed(func(s *sigstore.Signer) { s.Late = -time.Hour }), "integrated time outside certificate validity"},
		"no certificate":           {annotation(AnnotationCertificate, ""), "no certificate in its annotation"},
		"certificate that is none": {annotation(AnnotationCertificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "x509"},
		"no signature":             {annotation(AnnotationSignature, ""), "no base64 in its annotation"},
		"an entry of no form":      {annotation(AnnotationBundle, "{"), AnnotationBundle},
		"an entry with no body":    {annotation(AnnotationBundle, `{}`), `field "body"`},
		"an entry of no log":       {annotation(AnnotationBundle, `{"Payload":{"logID":"x"}}`), `field "logID"`},
		"an entry of no kind":      {annotation(AnnotationBundle, `{"Payload":{"body":"e30="}}`), "entry"},
		"a timestamp of no form":   {annotation(AnnotationTimestamp, "{"), AnnotationTimestamp},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, Check(all(subject("alice@test")), trust, digest, []Proof{tc.layer}), tc.want)
		})
	}
}

// What the trust root lacks is not asked for, as long as somebody tells the time.
func TestCheckAsksForWhatTheTrustRootHas(t *testing.T) {
	s := sigstore.New(t)
	bare := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test", Without: sigstore.CertificateLog | sigstore.TransparencyLog, Timestamped: true})
	unlogged := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test", Without: sigstore.CertificateLog})
	expired := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test", Late: time.Hour, Without: sigstore.CertificateLog | sigstore.TransparencyLog, Timestamped: true})
	untimed := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test", Without: sigstore.CertificateLog | sigstore.TransparencyLog})
	for name, tc := range map[string]struct {
		without sigstore.Part
		layer   Layer
		want    string
	}{
		"no log of certificates":                  {sigstore.CertificateLog, unlogged, ""},
		"only a timestamp authority":              {sigstore.CertificateLog | sigstore.TransparencyLog, bare, ""},
		"a timestamp after the certificate":       {sigstore.CertificateLog | sigstore.TransparencyLog, expired, "leaf certificate verification failed"},
		"a timestamp, no authority":               {sigstore.CertificateLog | sigstore.TimestampAuthority, bare, "not enough verified log entries"},
		"only a timestamp authority, not asked":   {sigstore.CertificateLog | sigstore.TransparencyLog, untimed, "threshold not met"},
		"only a timestamp authority, a log asked": {sigstore.CertificateLog | sigstore.TransparencyLog, unlogged, "threshold not met"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, Check(all(subject("alice@test")), trusted(t, s, tc.without), digest, []Proof{tc.layer}), tc.want)
		})
	}
}

func TestParseTrust(t *testing.T) {
	s := sigstore.New(t)
	whole := string(s.TrustedRoot(t, 0))
	for name, tc := range map[string]struct{ data, want string }{
		"trusted_root.json":       {whole, ""},
		"client trust config":     {`{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json","trustedRoot":` + whole + `,"signingConfig":{"anything":1}}`, ""},
		"a new field":             {`{"new":1,` + whole[1:], ""},
		"no JSON":                 {"text", "read trust root of Sigstore: it is no JSON object"},
		"a list":                  {"[]", "it is no JSON object"},
		"nothing":                 {"{}", "unsupported TrustedRoot media type"},
		"null":                    {`{"trustedRoot":null}`, "read trust root of Sigstore"},
		"no authority":            {string(s.TrustedRoot(t, sigstore.CertificateAuthority)), `field "certificateAuthorities" is empty`},
		"nobody to tell the time": {string(s.TrustedRoot(t, sigstore.TransparencyLog|sigstore.TimestampAuthority)), `fields "tlogs" and "timestampAuthorities" are empty`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseTrust([]byte(tc.data))
			wantError(t, err, tc.want)
		})
	}
}

// ErrNoTrust is told where a trust root could make the difference, and only there.
func TestCheckWithoutTrust(t *testing.T) {
	alice, bob := newECDSA(t), newECDSA(t)
	layers := []Proof{alice.sign(stated(t, payloadType, digest, nil))}
	for name, tc := range map[string]struct {
		wanted contract.Verification
		want   bool
	}{
		"one":                       {all(subject("x")), true},
		"and a key that is met":     {all(subject("x"), alice.wanted()), true},
		"and a key that is not":     {all(subject("x"), bob.wanted()), false},
		"one of two":                {some(1, subject("x"), bob.wanted()), true},
		"two of three":              {some(2, subject("x"), bob.wanted(), alice.wanted()), true},
		"two of three, none is met": {some(2, subject("x"), bob.wanted(), bob.wanted()), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(tc.wanted, nil, digest, layers)
			if err == nil || errors.Is(err, ErrNoTrust) != tc.want {
				t.Errorf("got %v, which is ErrNoTrust: %v, want %v", err, errors.Is(err, ErrNoTrust), tc.want)
			}
			wantError(t, err, "without a trust root of Sigstore")
		})
	}
}
