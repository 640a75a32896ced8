package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/access"
	"github.com/kubewarden/kubewarden-operator/controllers/admission"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/policy"
	"github.com/kubewarden/kubewarden-operator/controllers/policyserver"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/selfmanaged"
	"github.com/kubewarden/kubewarden-operator/controllers/settingscheck"
	"github.com/kubewarden/kubewarden-operator/controllers/stack"
	"github.com/kubewarden/kubewarden-operator/controllers/storage"
	"github.com/kubewarden/kubewarden-operator/controllers/upstream"
)

const (
	// leaderElectionID names the Lease; it is upstream's, so that both operators never
	// work on one cluster from one namespace at the same time.
	leaderElectionID = "a4ddbf36.kubewarden.io"
	// eventSource is who Events come from.
	eventSource = "kubewarden-operator"
	// shutdownTimeout is how long the reconciles in progress get when the operator is told
	// to stop. The Deployment gives it 10 s together.
	shutdownTimeout = 8 * time.Second
	// reconciliationTimeout bounds one reconcile, so that a read that cannot succeed does
	// not stop a kind for good.
	reconciliationTimeout = time.Minute
	// policyWorkers is how many policies of one kind are reconciled at a time: a restart of
	// a policy server wakes all of its policies.
	policyWorkers = 4
)

// Config is what the operator works with.
type Config struct {
	// Render is what the operator knows of itself.
	Render render.Config
	// MetricsAddress and ProbeAddress are host:port; "0" turns the endpoint off.
	MetricsAddress, ProbeAddress string
	// WebhookCertificateFolder is where the certificate is with which the API server is
	// answered about our kinds; where it does not exist the operator makes a certificate of
	// its own. "" turns the webhooks off.
	WebhookCertificateFolder string
	// WebhookPort is where the API server asks.
	WebhookPort int
	// LeaderElection lets only one of several operators work.
	LeaderElection bool
	// Logger takes the operator's own lines.
	Logger logr.Logger
	// Registry takes the operator's own metrics; controller-runtime's are in its own.
	Registry prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

func (c Config) validate() error {
	var missing error
	for _, field := range []struct{ name, value string }{
		{"the namespace", c.Render.Namespace},
		{"the ServiceAccount", c.Render.ServiceAccount},
		{"the image", c.Render.Image},
	} {
		if field.value == "" {
			missing = errors.Join(missing, fmt.Errorf("%s of the operator is not known", field.name))
		}
	}
	return missing
}

// NewScheme knows every kind that the operator reads or writes.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme,
		apiextensionsv1.AddToScheme,
		certmanagerv1.AddToScheme,
		policiesv1.AddToScheme,
		operatorv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make the scheme: %w", err)
		}
	}
	return scheme, nil
}

// NewManager returns a manager with all reconcilers, ready to be started. ctx bounds the
// preparation only.
func NewManager(ctx context.Context, restConfig *rest.Config, config Config) (ctrl.Manager, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	manager, err := ctrl.NewManager(restConfig, managerOptions(scheme, config))
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add the liveness check: %w", err)
	}
	if err := manager.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add the readiness check: %w", err)
	}
	if err := index.Register(ctx, manager.GetFieldIndexer()); err != nil {
		return nil, err
	}
	if err := registerMetrics(manager, config); err != nil {
		return nil, err
	}
	applier := apply.NewApplier(apply.Config{Client: manager.GetClient(), Uncached: manager.GetAPIReader()})
	certificates := certs.NewCertificates(certs.Config{
		Client: manager.GetClient(), Uncached: manager.GetAPIReader(), Applier: applier, Render: config.Render, Now: config.Now,
	})
	if err := addWebhooks(manager, config, certificates); err != nil {
		return nil, err
	}
	return manager, addReconcilers(manager, config, applier, certificates)
}

// addWebhooks has the API server answered about our kinds: with the certificate that OLM or
// cert-manager mount, or else with one of the operator's own.
func addWebhooks(manager ctrl.Manager, config Config, certificates *certs.Certificates) error {
	if config.WebhookCertificateFolder == "" {
		return nil
	}
	presenter := &selfmanaged.Presenter{Reader: manager.GetClient(), Namespace: config.Render.Namespace}
	server := &admission.Server{
		Scheme:            manager.GetScheme(),
		CertificateFolder: config.WebhookCertificateFolder,
		Certificate:       presenter.Certificate,
		Settings: settingscheck.New(settingscheck.Config{
			Client: manager.GetClient(), Authority: certificates,
			Configured: &configured.Reader{}, Reports: &replicas.Reports{}, Render: config.Render,
		}),
		Port:   config.WebhookPort,
		Logger: config.Logger.WithName("webhook"),
	}
	if err := manager.Add(server); err != nil {
		return fmt.Errorf("add the webhooks: %w", err)
	}
	if admission.IsMounted(config.WebhookCertificateFolder) {
		return nil
	}
	return selfmanaged.NewReconciler(selfmanaged.Config{
		Client: manager.GetClient(), Certificates: certificates, Namespace: config.Render.Namespace,
	}).SetupWithManager(manager, options(1))
}

func managerOptions(scheme *runtime.Scheme, settings Config) ctrl.Options {
	yes := true
	timeout := shutdownTimeout
	return ctrl.Options{
		Scheme: scheme,
		Logger: settings.Logger,
		Cache:  cacheOptions(settings.Render.Namespace),
		// Kinds of others that have no Go type here, such as ServiceMonitor, are watched too.
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                       metricsserver.Options{BindAddress: settings.MetricsAddress},
		HealthProbeBindAddress:        settings.ProbeAddress,
		LeaderElection:                settings.LeaderElection,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       settings.Render.Namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &timeout,
		Controller: config.Controller{
			// Names are unique in one manager; several may live in one process, as in tests.
			SkipNameValidation: &yes,
			// The one that waits to take over knows the cluster already.
			EnableWarmup:          &yes,
			ReconciliationTimeout: reconciliationTimeout,
		},
	}
}

func addReconcilers(manager ctrl.Manager, config Config, applier *apply.Applier, certificates *certs.Certificates) error {
	recorder := manager.GetEventRecorder(eventSource)
	reports, written := &replicas.Reports{}, &configured.Reader{}
	rights := access.NewReviewer(access.Config{Client: manager.GetClient(), Mapper: manager.GetRESTMapper(), Now: config.Now})
	observer, err := upstream.NewObserver(manager, config.Render.Namespace)
	if err != nil {
		return err
	}
	installation := stack.Config{
		Client: manager.GetClient(), Uncached: manager.GetAPIReader(), Cache: manager.GetCache(),
		Applier: applier, Certificates: certificates, Upstream: observer, Recorder: recorder, Render: config.Render,
	}
	if err := stack.NewBystander(installation).SetupWithManager(manager, options(1)); err != nil {
		return err
	}
	if err := stack.NewReconciler(installation).SetupWithManager(manager, options(1)); err != nil {
		return err
	}
	if err := policyserver.NewReconciler(policyserver.Config{
		Client: manager.GetClient(), Uncached: manager.GetAPIReader(), Cache: manager.GetCache(),
		Applier: applier, Certificates: certificates, Upstream: observer, Recorder: recorder,
		Configured: written, Reports: reports, Render: config.Render,
	}).SetupWithManager(manager, options(1)); err != nil {
		return err
	}
	if err := storage.NewReconciler(storage.Config{
		Client: manager.GetClient(), Uncached: manager.GetAPIReader(), Now: config.Now,
	}).SetupWithManager(manager, options(1)); err != nil {
		return err
	}
	for _, kind := range index.PolicyKinds() {
		reconciler := policy.NewReconciler(kind, policy.Config{
			Client: manager.GetClient(), Uncached: manager.GetAPIReader(),
			Applier: applier, Authority: certificates, Upstream: observer, Access: rights, Recorder: recorder,
			Configured: written, Reports: reports, Render: config.Render, Now: config.Now,
		})
		if err := reconciler.SetupWithManager(manager, options(policyWorkers)); err != nil {
			return err
		}
	}
	return nil
}
