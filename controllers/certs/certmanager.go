package certs

import (
	"context"
	"errors"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/optional"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// certManagerProvider has cert-manager issue, by Certificates, from an authority of our own.
type certManagerProvider struct {
	*Certificates

	terms render.Terms
}

var _ provider = (*certManagerProvider)(nil)

// notInstalled is what is in the way where cert-manager is to issue and does not exist.
func notInstalled() Request {
	return Request{
		Reason: operatorv1alpha1.ReasonCertManagerNotFound,
		Obstacle: "cert-manager, which is to issue certificates, is not installed: the cluster does not know its kinds Issuer and " +
			"Certificate; install it, or set spec.certificates.provider of the Kubewarden to built-in",
	}
}

// installed says whether the cluster serves cert-manager's kinds.
func (c *Certificates) installed(ctx context.Context) (bool, error) {
	for _, definition := range []string{DefinitionIssuers, DefinitionCertificates} {
		if served, err := optional.IsServed(ctx, c.client, definition); err != nil || !served {
			return false, err
		}
	}
	return true, nil
}

func (p *certManagerProvider) pair(ctx context.Context, holder holder) (issued, error) {
	secret, err := p.secret(ctx, holder.certificate.Name)
	if err != nil {
		return issued{}, err
	}
	if _, before := secret.Annotations[render.AnnotationBuiltIn]; before {
		// The fields that the built-in provider owns would be in cert-manager's way. What
		// a server presents is a copy.
		if err := p.applier.Delete(ctx, holder.owner, secret); err != nil {
			return issued{}, err
		}
	} else if err := p.withdrawFormer(ctx, holder, secret); err != nil {
		return issued{}, err
	}
	certificate := render.RequestedFrom(render.OwnIssuer(render.IssuerCA), p.terms.Leaf, holder.certificate)
	pair, err := p.ask(ctx, holder.owner, certificate)
	return pair, errors.Join(err, pair.refused)
}

// ask applies a Certificate and what it needs, and returns what became of it.
func (p *certManagerProvider) ask(ctx context.Context, owner client.Object, objects ...render.Object) (issued, error) {
	installed, err := p.installed(ctx)
	if err != nil {
		return issued{}, err
	}
	certificate := certificateAmong(objects)
	secret, err := p.secret(ctx, certificate.Spec.SecretName)
	if err != nil {
		return issued{}, err
	}
	if !installed {
		return issued{request: notInstalled(), pair: pairOf(secret)}, nil
	}
	refused := p.applier.Apply(ctx, owner, objects...)
	if apierrors.IsConflict(refused) {
		return issued{}, refused
	}
	if _, before := secret.Annotations[render.AnnotationBuiltIn]; before {
		secret = p.named(secret.Name)
	}
	if err := p.adopt(ctx, owner, secret); err != nil {
		return issued{}, err
	}
	request, err := p.request(ctx, certificate.Name)
	if err != nil {
		return issued{}, err
	}
	if request.Since.IsZero() {
		request.Since = p.asked.since(owner, p.now())
	}
	if refused != nil {
		request.Message = resource.Text(refused)
	}
	return issued{request: request, pair: pairOf(secret), refused: refused}, nil
}

// certificateAmong is the Certificate among objects.
func certificateAmong(objects []render.Object) *certmanagerv1.Certificate {
	for _, object := range objects {
		if certificate, ok := object.(*certmanagerv1.Certificate); ok {
			return certificate
		}
	}
	return &certmanagerv1.Certificate{}
}

// request returns how the issuer treats a Certificate.
func (p *certManagerProvider) request(ctx context.Context, name string) (Request, error) {
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: p.render.Namespace, Name: name}
	request := Request{Name: "cert-manager to issue Certificate " + key.String()}
	if err := p.client.Get(ctx, key, certificate); err != nil {
		if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			return request, nil
		}
		return Request{}, fmt.Errorf("read Certificate %s: %w", key, err)
	}
	request.Since = certificate.CreationTimestamp.Time
	for _, condition := range certificate.Status.Conditions {
		if condition.Type != certmanagerv1.CertificateConditionReady || condition.Status == cmmetav1.ConditionTrue {
			continue
		}
		request.Message = condition.Message
		if condition.LastTransitionTime != nil && condition.LastTransitionTime.After(request.Since) {
			request.Since = condition.LastTransitionTime.Time
		}
	}
	return request, nil
}

// adopt makes an issued Secret go with its owner: cert-manager leaves it behind when its
// Certificate goes, private key and all, unless it is told to own it.
func (p *certManagerProvider) adopt(ctx context.Context, owner client.Object, secret *corev1.Secret) error {
	controller := metav1.GetControllerOf(secret)
	if secret.UID == "" || (controller != nil && controller.UID != owner.GetUID()) {
		return nil
	}
	reference := &corev1.Secret{}
	reference.Name, reference.Namespace, reference.UID = secret.Name, secret.Namespace, secret.UID
	err := p.applier.Apply(ctx, owner, reference)
	if apierrors.IsConflict(err) {
		return nil // it is gone by now, and an apply without its UID would make an empty one
	}
	return err
}

// withdrawPair has cert-manager write no more into the Secret that pairs are issued into.
func (p *certManagerProvider) withdrawPair(ctx context.Context, holder holder) error {
	return p.remove(ctx, holder.owner, holder.certificate)
}

// remove deletes objects of kinds that the cluster may lack.
func (p *certManagerProvider) remove(ctx context.Context, owner client.Object, objects ...render.Object) error {
	installed, err := p.installed(ctx)
	if err != nil || !installed {
		return err
	}
	return p.applier.Delete(ctx, owner, objects...)
}
