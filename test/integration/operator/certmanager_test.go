//go:build integration

package operator

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// certManagerAway is for how long cert-manager's kinds are gone, and calmly is how many lines
// may be logged in the meantime, by the operator and by the libraries that it watches with.
const (
	certManagerAway = 20 * time.Second
	calmly          = 8
)

// lines are what was logged.
type lines struct {
	mutex sync.Mutex
	all   []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.all = append(l.all, prefix+" "+args)
	}, funcr.Options{})
}

// take returns what was logged since it was last called.
func (l *lines) take() []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	taken := l.all
	l.all = nil
	return taken
}

// cert-manager may be removed, kinds and all, and may come back: meanwhile everybody goes on with
// what was issued, the Kubewarden says so, and the log is not flooded.
func TestCertManagerGoesAndComesBack(t *testing.T) {
	log := &lines{}
	klog.SetLogger(log.logger())
	t.Cleanup(klog.ClearLogger)
	c := ownCluster(t, (*cluster).InstallCertManager, (*cluster).StartIssuer, func(c *cluster) error {
		c.Logger = log.logger()
		return nil
	}, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	c.activate(t, "staying")
	within(t, patience, func(ctx context.Context) error { return c.trusts(ctx, "staying") })
	within(t, patience, c.providerIs(operatorv1alpha1.CertificateProviderCertManager))

	for _, name := range []string{certs.DefinitionCertificates, certs.DefinitionIssuers} {
		definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := c.admin.Delete(t.Context(), definition); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, definition) })
	}
	within(t, patience, c.kubewardenIs(
		expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "CertManagerNotFound"},
		expected{operatorv1alpha1.ConditionDegraded, metav1.ConditionTrue, "CertManagerNotFound"}))
	if logged := log.take(); len(logged) == 0 {
		t.Fatal("nothing was logged so far, so that nothing can be said about what is")
	}
	late := c.createServer(t, "late")
	throughout(t, certManagerAway, func(ctx context.Context) error { return c.trusts(ctx, "staying") })
	if logged := log.take(); len(logged) > calmly {
		t.Errorf("%d lines were logged in %s:\n%s", len(logged), certManagerAway, strings.Join(logged, "\n"))
	}

	if err := c.InstallCertManager(); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.kubewardenIs(
		expected{operatorv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Issued"},
		expected{operatorv1alpha1.ConditionDegraded, metav1.ConditionFalse, "NothingFailed"}))
	within(t, patience, func(ctx context.Context) error {
		return errors.Join(c.trusts(ctx, "staying"), c.mustExist(ctx, named(&corev1.Secret{}, render.ServingSecretName(late.Name))))
	})
}
