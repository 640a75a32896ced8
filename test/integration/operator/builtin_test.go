//go:build integration

package operator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// A cluster without cert-manager enforces policies all the same: the operator's own
// authority signs, and API servers trust it.
func TestBuiltInProvider(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	c.activate(t, "built-in")
	within(t, patience, c.kubewardenIs(expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Issued"}))
	within(t, patience, c.providerIs(operatorv1alpha1.CertificateProviderBuiltIn))
	within(t, patience, func(ctx context.Context) error { return c.trusts(ctx, "built-in") })
	authority := named(&corev1.Secret{}, render.BuiltInCA)
	if err := c.mustExist(t.Context(), authority); err != nil {
		t.Fatal(err)
	}

	t.Run("a restart changes nothing", func(t *testing.T) {
		if err := errors.Join(c.StopOperator(), c.StartOperator()); err != nil {
			t.Fatal(err)
		}
		c.activate(t, "restarted")
		again := named(&corev1.Secret{}, render.BuiltInCA)
		if err := c.mustExist(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if again.UID != authority.UID || string(again.Data[corev1.TLSPrivateKeyKey]) != string(authority.Data[corev1.TLSPrivateKeyKey]) {
			t.Error("there is another authority")
		}
		within(t, patience, func(ctx context.Context) error { return c.trusts(ctx, "restarted") })
	})

	t.Run("a deleted pair is signed again", func(t *testing.T) {
		issued := named(&corev1.Secret{}, render.IssuedName("built-in"))
		if err := c.admin.Delete(t.Context(), issued); err != nil {
			t.Fatal(err)
		}
		within(t, healing, func(ctx context.Context) error {
			return c.mustExist(ctx, named(&corev1.Secret{}, render.IssuedName("built-in")))
		})
	})

	t.Run("cert-manager that comes later changes nothing", func(t *testing.T) {
		if err := errors.Join(c.InstallCertManager(), c.StartIssuer()); err != nil {
			t.Fatal(err)
		}
		c.activate(t, "later")
		within(t, patience, func(ctx context.Context) error { return c.trusts(ctx, "later") })
		var certificates certmanagerv1.CertificateList
		if err := c.admin.List(t.Context(), &certificates); err != nil || len(certificates.Items) > 0 {
			t.Errorf("Certificates: %v (%v), want none", certificates.Items, err)
		}
	})

	t.Run("unless the Kubewarden asks for it", func(t *testing.T) {
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
			k.Spec.Certificates.Provider = operatorv1alpha1.CertificateProviderCertManager
		})
		within(t, patience, c.providerIs(operatorv1alpha1.CertificateProviderCertManager))
		within(t, patience, func(ctx context.Context) error {
			return c.mustExist(ctx, named(&certmanagerv1.Certificate{}, render.IssuedName("built-in")))
		})
		within(t, patience, func(ctx context.Context) error {
			return c.mustNotExist(ctx, named(&corev1.Secret{}, render.BuiltInCA))
		})
		throughout(t, 2*time.Second, func(ctx context.Context) error { return c.trusts(ctx, "built-in") })
	})
}

// cert-manager's kinds without a cert-manager: a cluster is not left without certificates.
func TestBuiltInProviderTakesOver(t *testing.T) {
	c := ownCluster(t, (*cluster).InstallCertManager, (*cluster).startHastyOperator, (*cluster).CreateKubewarden)
	within(t, patience, c.kubewardenIs(
		expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "CertManagerNotIssuing"}))
	within(t, patience, c.providerIs(operatorv1alpha1.CertificateProviderBuiltIn))
	within(t, patience, func(ctx context.Context) error {
		return c.mustNotExist(ctx, named(&certmanagerv1.Certificate{}, render.CertificateCA))
	})
	c.activate(t, "orphan")
	within(t, patience, func(ctx context.Context) error { return c.trusts(ctx, "orphan") })
}

// startHastyOperator starts an operator whose clock is two minutes ahead: to it, everything
// was asked for two minutes ago.
func (c *cluster) startHastyOperator() error {
	c.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	return c.StartOperator()
}

func (c *cluster) providerIs(want operatorv1alpha1.CertificateProvider) func(context.Context) error {
	return func(ctx context.Context) error {
		kubewarden := theKubewarden()
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(kubewarden), kubewarden); err != nil {
			return err
		}
		if got := kubewarden.Status.CertificateProvider; got != want {
			return fmt.Errorf("provider %q is recorded, want %s", got, want)
		}
		return nil
	}
}

// trusts complains unless the API server would accept the certificate that the replicas of a
// server mount: its webhook's caBundle vouches for it under the name that is called.
func (c *cluster) trusts(ctx context.Context, name string) error {
	webhook, secret := validatingWebhook(name), named(&corev1.Secret{}, render.ServingSecretName(name))
	if err := errors.Join(c.mustExist(ctx, webhook), c.mustExist(ctx, secret)); err != nil {
		return err
	}
	service := webhook.Webhooks[0].ClientConfig.Service
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(webhook.Webhooks[0].ClientConfig.CABundle) {
		return errors.New("the caBundle holds no certificate")
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return err
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: service.Name + "." + service.Namespace + ".svc"})
	return err
}
