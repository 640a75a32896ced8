package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/node"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// kindName is the name of the kind cluster.
const kindName = "kubewarden"

// kind is a cluster in Docker, for machines that have it. The registry runs on this
// machine, on the address that Docker gives it in kind's network.
type kind struct {
	layout   node.Layout
	cache    *build.Cache
	progress *progress.Printer
	now      func() time.Time
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
	return &kind{layout: node.Layout{State: filepath.Join(state, "kind")}, cache: cache, progress: cache.Progress, now: time.Now}, nil
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
	if !slices.Contains(strings.Fields(string(clusters)), kindName) {
		create := exec.CommandContext(ctx, "kind", "create", "cluster", "--name="+kindName, "--kubeconfig="+k.kubeconfig(), "--wait=3m")
		if err := k.progress.Step("create the kind cluster "+kindName, func() error { return runShown(create, os.Stderr) }); err != nil {
			return err
		}
	}
	if k.layout.NodeIP, err = kindGateway(ctx); err != nil {
		return err
	}
	server := node.Node{Layout: k.layout, Progress: k.progress, Now: k.now}
	if err := server.UpRegistry(ctx); err != nil {
		return err
	}
	return k.installCertManager(ctx)
}

// kindGateway is the address of this machine in kind's network.
func kindGateway(ctx context.Context) (string, error) {
	const format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
	output, err := exec.CommandContext(ctx, "docker", "network", "inspect", "kind", "--format="+format).Output()
	if err != nil {
		return "", fmt.Errorf("find the address of this machine in kind's network: %w", err)
	}
	for address := range strings.FieldsSeq(string(output)) {
		if ip := net.ParseIP(address); ip != nil && ip.To4() != nil {
			return address, nil
		}
	}
	return "", errors.New("find the address of this machine in kind's network: it has none of version 4")
}

func (k *kind) installCertManager(ctx context.Context) error {
	path, err := k.cache.Path(ctx, build.CertManager)
	if err != nil {
		return err
	}
	program := images.Program{Image: imageOf(path), Path: path, User: programUser}
	if err := loadImage(ctx, k, program); err != nil {
		return err
	}
	source, err := k.cache.ModuleDir(ctx, build.CertManager.Module, "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	return k.progress.Step("install cert-manager", func() error {
		kubectl, err := k.Kubectl(ctx)
		if err != nil {
			return err
		}
		return addons.InstallCertManager(ctx, kubectl, addons.Config{
			ImageCertManager: program.Image,
			CertManagerCRDs:  filepath.Join(source, "deploy", "crds"),
		})
	})
}

// Down implements cluster.
func (k *kind) Down(ctx context.Context) error {
	remove := exec.CommandContext(ctx, "kind", "delete", "cluster", "--name="+kindName, "--kubeconfig="+k.kubeconfig())
	return errors.Join(runShown(remove, os.Stderr), k.layout.DownRegistry(ctx))
}

// Status implements cluster.
func (k *kind) Status(ctx context.Context, out io.Writer) error {
	return runShown(exec.CommandContext(ctx, "kubectl", "--kubeconfig="+k.kubeconfig(), "get", "nodes,pods", "--all-namespaces"), out)
}

// Load implements cluster.
func (k *kind) Load(ctx context.Context, _, archive string) error {
	return runShown(exec.CommandContext(ctx, "kind", "load", "image-archive", archive, "--name="+kindName), os.Stderr)
}

// Kubectl implements cluster.
func (k *kind) Kubectl(context.Context) (addons.Kubectl, error) {
	return addons.Kubectl{Path: "kubectl", Kubeconfig: k.kubeconfig()}, nil
}

// Env implements cluster.
func (k *kind) Env(context.Context) (map[string]string, error) {
	layout, err := k.layout.Recorded()
	if err != nil {
		return nil, fmt.Errorf("find the registry of the kind cluster (is it up?): %w", err)
	}
	return map[string]string{
		"KUBECONFIG":             k.kubeconfig(),
		"KUBEWARDEN_REGISTRY":    layout.Registry(),
		"KUBEWARDEN_REGISTRY_CA": layout.RegistryCA(),
	}, nil
}
