//go:build integration

package operator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// startWithWebhooks starts an operator that no certificate is mounted into.
func (c *cluster) startWithWebhooks(t *testing.T) {
	t.Helper()
	c.WebhookFolder, c.WebhookPort = filepath.Join(t.TempDir(), "absent"), freePort(t)
	if err := c.StartOperator(); err != nil {
		t.Fatal(err)
	}
}

// freePort is a port of the loopback interface that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok || listener.Close() != nil {
		t.Fatalf("find a free port: got %v", listener.Addr())
	}
	return address.Port
}

func ownWebhooks() *admissionregistrationv1.ValidatingWebhookConfiguration {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	configuration.Name = render.OwnWebhooks
	return configuration
}

// answers complains unless the operator answers with a certificate that every webhook of the
// configuration trusts, under the name that the API server calls.
func (c *cluster) answers(ctx context.Context) error {
	configuration := ownWebhooks()
	if err := c.admin.Get(ctx, client.ObjectKeyFromObject(configuration), configuration); err != nil {
		return err
	}
	for i := range configuration.Webhooks {
		config := configuration.Webhooks[i].ClientConfig
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(config.CABundle) {
			return fmt.Errorf("webhook %s trusts nobody", configuration.Webhooks[i].Name)
		}
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: config.Service.Name + "." + config.Service.Namespace + ".svc"}}
		connection, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", c.WebhookPort))
		if err != nil {
			return err
		}
		if err := connection.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Where nobody mounts a certificate, the operator keeps one for its own webhooks, with the
// rights that it has.
func TestOwnWebhooksAreSelfManaged(t *testing.T) {
	c := ownCluster(t)
	c.startWithWebhooks(t)
	within(t, patience, c.answers)
	authority := named(&corev1.Secret{}, render.OwnWebhookCA)
	if err := c.mustExist(t.Context(), authority); err != nil {
		t.Fatal(err)
	}

	t.Run("a changed caBundle is put right", func(t *testing.T) {
		change(t, c, ownWebhooks(), func(configuration *admissionregistrationv1.ValidatingWebhookConfiguration) {
			configuration.Webhooks[0].ClientConfig.CABundle = nil
		})
		within(t, healing, c.answers)
	})
	t.Run("whoever applies the configuration again takes nothing away", func(t *testing.T) {
		if err := c.Kubectl("apply", "--server-side", "-k", "../../../config/default"); err != nil {
			t.Fatal(err)
		}
		within(t, healing, c.answers)
	})
	t.Run("a deleted pair comes back, and is presented without a restart", func(t *testing.T) {
		if err := c.admin.Delete(t.Context(), named(&corev1.Secret{}, render.OwnWebhookPair)); err != nil {
			t.Fatal(err)
		}
		within(t, healing, func(ctx context.Context) error {
			return errors.Join(c.mustExist(ctx, named(&corev1.Secret{}, render.OwnWebhookPair)), c.answers(ctx))
		})
	})
	t.Run("a deleted authority is replaced", func(t *testing.T) {
		if err := c.admin.Delete(t.Context(), named(&corev1.Secret{}, render.OwnWebhookCA)); err != nil {
			t.Fatal(err)
		}
		within(t, healing, func(ctx context.Context) error {
			again := named(&corev1.Secret{}, render.OwnWebhookCA)
			if err := c.mustExist(ctx, again); err != nil {
				return err
			}
			*authority = *again
			return c.answers(ctx)
		})
	})
	t.Run("a restart keeps the authority", func(t *testing.T) {
		if err := c.StopOperator(); err != nil {
			t.Fatal(err)
		}
		c.startWithWebhooks(t)
		within(t, patience, c.answers)
		again := named(&corev1.Secret{}, render.OwnWebhookCA)
		if err := c.mustExist(t.Context(), again); err != nil || string(again.Data[corev1.TLSPrivateKeyKey]) != string(authority.Data[corev1.TLSPrivateKeyKey]) {
			t.Errorf("there is another authority (%v)", err)
		}
	})
}
