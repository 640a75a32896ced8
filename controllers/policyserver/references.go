package policyserver

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// referencesDelay is how soon to look again for what a spec refers to and was not there.
// Objects of users are not watched, so nothing tells when they come.
const referencesDelay = 5 * time.Second

// reference is an object of the user in the namespace of the operator that a spec names.
type reference struct {
	// field is the path of the field in the spec.
	field string
	// object is an empty object of the kind, with its name.
	object client.Object
	// kind is its kind.
	kind string
	// flaw says what is wrong with the object that was read; empty for nothing, nil when
	// nothing can be.
	flaw func() string
}

// references are those of a spec without which no Pod would start, or not as it should.
// What is checked and the words are upstream's (policyserver_webhook.go), but for the
// account and the verification, which upstream does not check.
func (s *state) references() []reference {
	spec := s.server.Spec
	var references []reference
	if spec.ServiceAccountName != "" {
		account := &corev1.ServiceAccount{}
		account.Name = spec.ServiceAccountName
		references = append(references, reference{field: "spec.serviceAccountName", kind: "ServiceAccount", object: account})
	}
	if spec.ImagePullSecret != "" {
		secret := &corev1.Secret{}
		secret.Name = spec.ImagePullSecret
		references = append(references, reference{
			field: "spec.imagePullSecret", kind: "Secret", object: secret,
			flaw: func() string {
				if secret.Type == corev1.SecretTypeDockerConfigJson {
					return ""
				}
				return fmt.Sprintf("spec.imagePullSecret secret %q is not of type %s", secret.Name, corev1.SecretTypeDockerConfigJson)
			},
		})
	}
	for _, named := range []struct {
		field, name, key string
		read             func(content string) error
	}{
		{"spec.verificationConfig", spec.VerificationConfig, render.KeyVerificationConfig, readVerification},
		{"spec.sigstoreTrustConfig", spec.SigstoreTrustConfig, render.KeySigstoreTrustConfig, readAnything},
	} {
		if named.name == "" {
			continue
		}
		configMap := &corev1.ConfigMap{}
		configMap.Name = named.name
		references = append(references, reference{
			field: named.field, kind: "ConfigMap", object: configMap,
			flaw: func() string {
				content, ok := configMap.Data[named.key]
				if !ok {
					return fmt.Sprintf("%s ConfigMap %q does not contain required key %q", named.field, named.name, named.key)
				}
				if err := named.read(content); err != nil {
					return fmt.Sprintf("%s ConfigMap %q, key %q: %v", named.field, named.name, named.key, err)
				}
				return ""
			},
		})
	}
	return references
}

// readVerification is what a policy server does before it begins.
func readVerification(content string) error {
	_, err := contract.DecodeVerification([]byte(content))
	return err
}

// readAnything leaves the reading to the policy server.
func readAnything(string) error { return nil }

// observeReferences notes what a spec refers to and is not there, or not as it must be. It
// asks the API server: the caches hold only what the operator made.
func (r *Reconciler) observeReferences(ctx context.Context, s *state) error {
	for _, reference := range s.references() {
		err := r.Uncached.Get(ctx, r.key(reference.object.GetName()), reference.object)
		switch {
		case apierrors.IsNotFound(err):
			s.unresolved = append(s.unresolved, fmt.Sprintf("%s: there is no %s %s/%s",
				reference.field, reference.kind, r.Render.Namespace, reference.object.GetName()))
		case err != nil:
			return fmt.Errorf("get %s %s: %w", reference.kind, reference.object.GetName(), err)
		case reference.flaw == nil:
		default:
			if flaw := reference.flaw(); flaw != "" {
				s.unresolved = append(s.unresolved, flaw)
			}
		}
	}
	return nil
}
