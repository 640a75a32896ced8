//go:build integration

package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

const (
	namespace      = "kubewarden"
	serviceAccount = "kubewarden-operator"
	operatorImage  = "ghcr.io/kubewarden/kubewarden-operator:0.0.0-test"

	// patience is how long the operator may take for what has no bound of its own.
	patience = 30 * time.Second
	// healing is how soon drift must be gone.
	healing = 5 * time.Second
)

// cluster is an API server with its etcd, the operator, and the issuer of certificates.
type cluster struct {
	env        *envtest.Environment
	config     *rest.Config
	admin      client.Client
	kubeconfig string

	ctx    context.Context //nolint:containedctx // the life of the cluster, which no call bounds
	cancel context.CancelFunc
	// now is the operator's clock; nil is the right time.
	now func() time.Time
	// webhookFolder and webhookPort are for the operator's own webhooks; empty turns them off.
	webhookFolder string
	webhookPort   int
	// registry has the operator's own metrics.
	registry *prometheus.Registry
	// issuer and operator end what runs; nil while it does not.
	issuer, operator func() error
}

// newCluster starts an API server and installs config/default into it, as a user does.
func newCluster() (*cluster, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &cluster{env: &envtest.Environment{}, ctx: ctx, cancel: cancel}
	var err error
	if c.config, err = c.env.Start(); err != nil {
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	c.config.QPS = -1 // as the operator's own client: the API server sees to fairness
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) prepare() error {
	admin, err := c.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return fmt.Errorf("make an administrator: %w", err)
	}
	content, err := admin.KubeConfig()
	if err != nil {
		return fmt.Errorf("make a kubeconfig: %w", err)
	}
	file, err := os.CreateTemp("", "kubeconfig")
	if err != nil {
		return fmt.Errorf("make a file for the kubeconfig: %w", err)
	}
	c.kubeconfig = file.Name()
	if _, err := file.Write(content); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", errors.Join(err, file.Close()))
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	if c.admin, err = c.client(c.config); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", "../../../config/default"},
		{"wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"},
	} {
		if err := c.kubectl(args...); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) client(config *rest.Config) (client.Client, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return made, nil
}

// kubectl runs the kubectl that stands beside the API server's binary, as an administrator.
func (c *cluster) kubectl(args ...string) error {
	command := exec.CommandContext(c.ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %v: %w\n%s", args, err, output)
	}
	return nil
}

// as returns a configuration with the rights of a ServiceAccount in the operator's
// namespace.
func (c *cluster) as(account string) *rest.Config {
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	return config
}

// startOperator runs the operator with the rights of its own ServiceAccount.
func (c *cluster) startOperator() error {
	logger := logr.Discard()
	if os.Getenv("TEST_LOG") != "" {
		logger = logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctrl.SetLogger(logger)
	c.registry = prometheus.NewRegistry()
	manager, err := controllers.NewManager(c.ctx, c.as(serviceAccount), controllers.Config{
		Render: render.Config{
			Namespace:      namespace,
			ServiceAccount: serviceAccount,
			Image:          operatorImage,
		},
		MetricsAddress: "0",
		ProbeAddress:   "0",
		LeaderElection: true,

		WebhookCertificateFolder: c.webhookFolder,
		WebhookPort:              c.webhookPort,

		Logger:   logger,
		Registry: c.registry,
		Now:      c.clock(),
	})
	if err != nil {
		return err
	}
	c.operator = c.run(manager.Start)
	return nil
}

func (c *cluster) clock() func() time.Time {
	if c.now == nil {
		return time.Now
	}
	return c.now
}

// stopOperator ends the operator as a signal would.
func (c *cluster) stopOperator() error {
	stop := c.operator
	c.operator = nil
	return stop()
}

// run runs something until the function that it returns is called.
func (c *cluster) run(function func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	go func() { done <- function(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// stop ends what runs, then the API server.
func (c *cluster) stop() error {
	var failures error
	for _, stop := range []func() error{c.operator, c.issuer} {
		if stop != nil {
			failures = errors.Join(failures, stop())
		}
	}
	c.cancel()
	if c.kubeconfig != "" {
		failures = errors.Join(failures, os.Remove(c.kubeconfig))
	}
	return errors.Join(failures, c.env.Stop())
}

// installCertManager brings cert-manager's kinds into the cluster, out of its own module.
func (c *cluster) installCertManager() error {
	output, err := exec.CommandContext(c.ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	if err != nil {
		return fmt.Errorf("find cert-manager's module: %w", err)
	}
	folder := filepath.Join(string(output[:len(output)-1]), "deploy", "crds")
	_, err = envtest.InstallCRDs(c.config, envtest.CRDInstallOptions{Paths: []string{
		filepath.Join(folder, "cert-manager.io_certificates.yaml"),
		filepath.Join(folder, "cert-manager.io_issuers.yaml"),
	}})
	if err != nil {
		return fmt.Errorf("install cert-manager's kinds: %w", err)
	}
	return nil
}

func (c *cluster) createKubewarden() error {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	kubewarden.Name = operatorv1alpha1.KubewardenName
	if err := c.admin.Create(c.ctx, kubewarden); err != nil {
		return fmt.Errorf("create the Kubewarden: %w", err)
	}
	return nil
}

// ownCluster is a cluster for one test.
func ownCluster(t *testing.T, steps ...func(*cluster) error) *cluster {
	t.Helper()
	c, err := newCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range steps {
		if err := step(c); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// within waits until a check finds nothing to complain about, and fails the test with the
// last complaint when that takes too long.
func within(t *testing.T, limit time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 25*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("not within %s: %v", limit, last)
	}
}

// throughout checks, for a while, that a check never has anything to complain about.
func throughout(t *testing.T, duration time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, 25*time.Millisecond, true, func(context.Context) (bool, error) {
		return false, check(t.Context())
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
