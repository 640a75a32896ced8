package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/node"
)

// kindName is the name of the kind cluster.
const kindName = "kubewarden"

// kind is a cluster in Docker, for machines that have it. The registry runs on this
// machine, on the address that Docker gives it in kind's network.
type kind struct {
	layout node.Layout
	cache  *build.Cache
}

var _ cluster = (*kind)(nil)

func newKind() (*kind, error) {
	for _, program := range []string{"docker", "kind", "kubectl"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("CLUSTER=kind needs the program %s: %w", program, err)
		}
	}
	cache, err := newCache()
	if err != nil {
		return nil, err
	}
	state, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return &kind{layout: node.Layout{State: filepath.Join(state, "kind")}, cache: cache}, nil
}

func (k *kind) kubeconfig() string { return filepath.Join(k.layout.State, "kubeconfig") }

// Up implements cluster.
func (k *kind) Up(ctx context.Context) error {
	if err := os.MkdirAll(k.layout.State, 0o755); err != nil {
		return err
	}
	clusters, err := exec.CommandContext(ctx, "kind", "get", "clusters").Output()
	if err != nil {
		return fmt.Errorf("kind get clusters: %w", err)
	}
	if !strings.Contains("\n"+string(clusters), "\n"+kindName+"\n") {
		err := k.cache.Progress.Step("create the kind cluster "+kindName, func() error {
			return runShown(ctx, "kind", "create", "cluster", "--name", kindName, "--kubeconfig", k.kubeconfig(), "--wait", "3m")
		})
		if err != nil {
			return err
		}
	}
	if err := k.startRegistry(ctx); err != nil {
		return err
	}
	return k.installCertManager(ctx)
}

func (k *kind) startRegistry(ctx context.Context) error {
	gateway, err := exec.CommandContext(ctx, "docker", "network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}").Output()
	if err != nil {
		return fmt.Errorf("find the address of this machine in kind's network: %w", err)
	}
	for _, address := range strings.Fields(string(gateway)) {
		if strings.Contains(address, ".") {
			k.layout.NodeIP = address
		}
	}
	self, err := node.InstallSelf(k.layout)
	if err != nil {
		return err
	}
	server := node.Node{Layout: k.layout, Programs: node.Programs{Self: self}, Progress: k.cache.Progress, Now: time.Now}
	return server.UpRegistry(ctx)
}

func (k *kind) installCertManager(ctx context.Context) error {
	path, err := k.cache.Path(ctx, build.CertManager)
	if err != nil {
		return err
	}
	archive := filepath.Join(k.layout.State, "cert-manager.tar")
	if err := (images.Program{Image: addons.ImageCertManager, Path: path, User: "65532"}).WriteTarball(archive); err != nil {
		return err
	}
	if err := k.Load(ctx, addons.ImageCertManager, archive); err != nil {
		return err
	}
	source, err := k.cache.ModuleDir(ctx, build.CertManager.Module, "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	return k.cache.Progress.Step("install cert-manager", func() error {
		return addons.InstallCertManager(ctx, addons.Kubectl{Path: "kubectl", Kubeconfig: k.kubeconfig()}, filepath.Join(source, "deploy", "crds"))
	})
}

// Down implements cluster.
func (k *kind) Down(ctx context.Context) error {
	if err := runShown(ctx, "kind", "delete", "cluster", "--name", kindName, "--kubeconfig", k.kubeconfig()); err != nil {
		return err
	}
	return k.layout.DownRegistry(ctx)
}

// Status implements cluster.
func (k *kind) Status(ctx context.Context) error {
	return runShown(ctx, "kubectl", "--kubeconfig", k.kubeconfig(), "get", "nodes,pods", "-A")
}

// Load implements cluster.
func (k *kind) Load(ctx context.Context, _, archive string) error {
	return runShown(ctx, "kind", "load", "image-archive", archive, "--name", kindName)
}

// Env implements cluster.
func (k *kind) Env(context.Context) (map[string]string, error) {
	address, err := os.ReadFile(filepath.Join(k.layout.State, "registry-address"))
	if err != nil {
		return nil, fmt.Errorf("find the registry; is the cluster up? %w", err)
	}
	return map[string]string{
		"KUBECONFIG":             k.kubeconfig(),
		"KUBEWARDEN_REGISTRY":    string(address),
		"KUBEWARDEN_REGISTRY_CA": k.layout.RegistryCA(),
	}, nil
}

func runShown(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}
