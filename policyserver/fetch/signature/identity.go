package signature

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	// githubIssuer vouches for workflows of GitHub.
	githubIssuer = "https://token.actions.githubusercontent.com"
	githubHost   = "github.com"
)

// identity is who signed, as a certificate of Sigstore names them.
type identity struct {
	// issuer is who the authority of Sigstore believed.
	issuer string
	// subject is a URI or an e-mail address.
	subject string
	// repository is "owner/name" of the workflow that signed; empty for others.
	repository string
}

func newIdentity(summary certificate.Summary) identity {
	return identity{summary.Issuer, summary.SubjectAlternativeName, summary.GithubWorkflowRepository}
}

// meets is an error unless this is the identity that is wanted.
func (i identity) meets(wanted contract.Signature) error {
	issuer := wanted.Issuer
	if wanted.Kind == contract.SignatureGithubAction {
		issuer = githubIssuer
	}
	if issuer == "" || i.issuer != issuer {
		return fmt.Errorf("a signature is of issuer %q, want %q", i.issuer, issuer)
	}
	if wanted.Kind == contract.SignatureGithubAction {
		return i.isOf(wanted.Owner, wanted.Repo)
	}
	return i.isSubject(wanted.Subject)
}

func (i identity) isSubject(wanted contract.Subject) error {
	switch {
	case wanted.Equal != "":
		if i.subject != wanted.Equal {
			return fmt.Errorf("a signature is of subject %q, want %q", i.subject, wanted.Equal)
		}
	case strings.HasSuffix(wanted.URLPrefix, "/"):
		if !strings.HasPrefix(i.subject, wanted.URLPrefix) {
			return fmt.Errorf("a signature is of subject %q, want one that begins with %q", i.subject, wanted.URLPrefix)
		}
	default: // DecodeVerification gives no such thing
		return fmt.Errorf("subject %+v is wanted, allowed is an identity, or a prefix that ends with a slash", wanted)
	}
	return nil
}

// isOf is an error unless a workflow of the owner, and of the repository where one is
// named, signed. The subject alone does not tell: it is where a workflow is written down,
// which for a reusable one is not the repository that runs it.
func (i identity) isOf(wantedOwner, wantedRepo string) error {
	subject, err := url.Parse(i.subject)
	if err != nil || subject.Scheme != "https" || subject.Host != githubHost {
		return fmt.Errorf("a signature is of subject %q, want a workflow on https://%s", i.subject, githubHost)
	}
	owner, repo, found := strings.Cut(i.repository, "/")
	if !found || wantedOwner == "" || owner != wantedOwner || (wantedRepo != "" && repo != wantedRepo) {
		return fmt.Errorf("a signature is of a workflow of repository %q, want %s/%s", i.repository, wantedOwner, orAny(wantedRepo))
	}
	return nil
}

func orAny(name string) string {
	if name == "" {
		return "(any)"
	}
	return name
}
