//go:build integration

package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers"
)

const (
	// Namespace is the operator's; config/default makes it.
	Namespace = "kubewarden"
	// ServiceAccount is the operator's.
	ServiceAccount = "kubewarden-operator"

	// OperatorImage is the image that the operator runs in, and its policy servers.
	OperatorImage = "ghcr.io/kubewarden/kubewarden-operator:0.0.0-test"
)

// startTimeout is for a machine that has other things to do.
const startTimeout = 2 * time.Minute

// Cluster is an API server with its etcd, the operator, and the issuer of certificates.
type Cluster struct {
	// Admin may do everything.
	Admin client.Client
	// Config is Admin's.
	Config *rest.Config

	// Now is the operator's clock; nil is the right time.
	Now func() time.Time
	// WebhookFolder and WebhookPort are for the operator's own webhooks; empty turns them off.
	WebhookFolder string
	WebhookPort   int
	// Wrap, unless nil, is put around the operator's connection to the API server.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Alone spares the operator the election of a leader: one that was killed leaves a Lease
	// that keeps its successor waiting.
	Alone bool
	// Logger takes what the operator logs; zero is nobody.
	Logger logr.Logger
	// Registry has the metrics of the operator that was started last.
	Registry *prometheus.Registry

	env        *envtest.Environment
	root       string
	kubeconfig string
	ctx        context.Context //nolint:containedctx // the life of the cluster, which no call bounds
	cancel     context.CancelFunc
	// issuer and operator end what runs; nil while it does not.
	issuer, operator func() error
	lifeline         *lifeline
}

// Flag is a flag of the API server, its name without dashes.
type Flag struct{ Name, Value string }

// NewCluster starts an API server and installs config/default into it, as a user does. root
// is the root of the repository, as seen from the working directory; flags are further ones
// of the API server.
func NewCluster(root string, flags ...Flag) (*Cluster, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{env: &envtest.Environment{ControlPlaneStartTimeout: startTimeout}, root: root, ctx: ctx, cancel: cancel}
	for _, flag := range flags {
		c.env.ControlPlane.GetAPIServer().Configure().Set(flag.Name, flag.Value)
	}
	var err error
	if c.Config, err = c.env.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	c.Config.QPS = -1 // as the operator's own client: the API server sees to fairness
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) prepare() error {
	if err := c.writeKubeconfig(); err != nil {
		return err
	}
	var err error
	if c.Admin, err = c.Client(c.Config); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", filepath.Join(c.root, "config", "default")},
		{"wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"},
	} {
		if err := c.Kubectl(args...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) writeKubeconfig() error {
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
	return nil
}

// Stop ends what runs, then the API server.
func (c *Cluster) Stop() error {
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

// Client makes a client that knows every kind that the operator knows.
func (c *Cluster) Client(config *rest.Config) (client.Client, error) {
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

// As returns a configuration with the rights of a ServiceAccount in the operator's
// namespace.
func (c *Cluster) As(account string) *rest.Config {
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + Namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + Namespace, "system:authenticated"},
	}
	return config
}

// Kubectl runs the kubectl that stands beside the API server's binary, as an administrator.
func (c *Cluster) Kubectl(args ...string) error {
	binary := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	command := exec.CommandContext(c.ctx, binary, args...) //nolint:gosec // the arguments are those of tests
	command.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %v: %w\n%s", args, err, output)
	}
	return nil
}

// InstallCertManager brings cert-manager's kinds into the cluster, out of its own module.
func (c *Cluster) InstallCertManager() error {
	output, err := exec.CommandContext(c.ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	if err != nil {
		return fmt.Errorf("find cert-manager's module: %w", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(output)), "deploy", "crds")
	_, err = envtest.InstallCRDs(c.Config, envtest.CRDInstallOptions{Paths: []string{
		filepath.Join(folder, "cert-manager.io_certificates.yaml"),
		filepath.Join(folder, "cert-manager.io_issuers.yaml"),
	}})
	if err != nil {
		return fmt.Errorf("install cert-manager's kinds: %w", err)
	}
	return nil
}

// CreateKubewarden makes the installation, with all that is the default.
func (c *Cluster) CreateKubewarden() error {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	kubewarden.Name = operatorv1alpha1.KubewardenName
	if err := c.Admin.Create(c.ctx, kubewarden); err != nil {
		return fmt.Errorf("create the Kubewarden: %w", err)
	}
	return nil
}

// run runs something until the function that it returns is called.
func (c *Cluster) run(function func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	go func() { done <- function(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}
