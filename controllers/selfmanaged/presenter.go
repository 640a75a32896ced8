package selfmanaged

import (
	"crypto/tls"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Presenter finds the certificate of the operator's own webhooks for a TLS handshake. It reads
// the caches, so that a renewed pair is presented without a restart.
type Presenter struct {
	// Reader reads from the caches of the manager.
	Reader client.Reader
	// Namespace is the operator's own.
	Namespace string

	mutex   sync.Mutex
	version string
	pair    *tls.Certificate
}

// Certificate is for tls.Config.GetCertificate. It fails while there is no pair.
func (p *Presenter) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: p.Namespace, Name: render.OwnWebhookPair}
	if err := p.Reader.Get(hello.Context(), key, secret); err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.pair != nil && p.version == secret.ResourceVersion {
		return p.pair, nil
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("read the pair in Secret %s: %w", key, err)
	}
	p.version, p.pair = secret.ResourceVersion, &pair
	return p.pair, nil
}
