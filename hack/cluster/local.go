package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/node"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// local is a cluster of processes on this machine.
type local struct {
	layout   node.Layout
	cache    *build.Cache
	progress *progress.Printer
}

var _ cluster = (*local)(nil)

func newLocal() (*local, error) {
	layout, err := node.DefaultLayout()
	if err != nil {
		return nil, err
	}
	cache, err := newCache()
	if err != nil {
		return nil, err
	}
	return &local{layout: layout, cache: cache, progress: cache.Progress}, nil
}

// Up implements cluster.
func (c *local) Up(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("a local cluster needs root: it mounts, makes network links and runs containers; CLUSTER=kind and CLUSTER=existing do not")
	}
	start := time.Now()
	c.progress.Say("Bringing up a Kubernetes " + build.KubernetesVersion + " cluster on this machine")
	if err := ensurePackages(ctx, packagesForNode); err != nil {
		return err
	}
	programs, err := c.programs(ctx)
	if err != nil {
		return err
	}
	containerd := images.Containerd{Socket: c.layout.ContainerdSocket()}
	server := &node.Node{
		Layout: c.layout, Programs: programs, Progress: c.progress, Now: time.Now,
		LoadPause: func(ctx context.Context) error {
			return containerd.ImportProgram(ctx, images.Program{Image: node.PauseImage, Path: programs.Self, Args: []string{"pause"}, User: "65535"})
		},
	}
	if err := server.Up(ctx); err != nil {
		return err
	}
	if err := c.installAddons(ctx, containerd); err != nil {
		return err
	}
	c.progress.Say(fmt.Sprintf("The cluster is up after %s: export KUBECONFIG=%s", time.Since(start).Round(time.Second), c.layout.Kubeconfig()))
	return nil
}

func (c *local) programs(ctx context.Context) (node.Programs, error) {
	var programs node.Programs
	for _, program := range []struct {
		binary build.Binary
		path   *string
	}{
		{build.APIServer, &programs.APIServer}, {build.ControllerManager, &programs.ControllerManager},
		{build.Scheduler, &programs.Scheduler}, {build.Kubelet, &programs.Kubelet}, {build.Proxy, &programs.Proxy},
		{build.Kubectl, &programs.Kubectl}, {build.Etcd, &programs.Etcd},
	} {
		var err error
		if *program.path, err = c.cache.Path(ctx, program.binary); err != nil {
			return programs, err
		}
	}
	var err error
	programs.Self, err = node.InstallSelf(c.layout)
	return programs, err
}

func (c *local) installAddons(ctx context.Context, containerd images.Containerd) error {
	kubectl, err := c.cache.Path(ctx, build.Kubectl)
	if err != nil {
		return err
	}
	for _, program := range []struct {
		binary build.Binary
		image  string
	}{{build.CoreDNS, addons.ImageCoreDNS}, {build.CertManager, addons.ImageCertManager}} {
		path, err := c.cache.Path(ctx, program.binary)
		if err != nil {
			return err
		}
		if err := c.importOnce(ctx, containerd, images.Program{Image: program.image, Path: path, User: "65532"}); err != nil {
			return err
		}
	}
	source, err := c.cache.ModuleDir(ctx, build.CertManager.Module, "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	return c.progress.Step("install the cluster DNS and cert-manager", func() error {
		return addons.Install(ctx, addons.Kubectl{Path: kubectl, Kubeconfig: c.layout.Kubeconfig()}, filepath.Join(source, "deploy", "crds"))
	})
}

// importOnce imports an image unless the runtime has it from an earlier run.
func (c *local) importOnce(ctx context.Context, containerd images.Containerd, program images.Program) error {
	marker := filepath.Join(c.layout.State, "imported-"+filepath.Base(program.Path))
	if content, err := os.ReadFile(marker); err == nil && string(content) == program.Path {
		return nil
	}
	if err := containerd.ImportProgram(ctx, program); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(program.Path), 0o644)
}

// Down implements cluster.
func (c *local) Down(ctx context.Context) error {
	return c.progress.Step("take the cluster down", func() error { return c.layout.Down(ctx) })
}

// Status implements cluster.
func (c *local) Status(ctx context.Context) error {
	missing := 0
	for _, name := range node.Components {
		if pid := c.layout.PID(name); pid != 0 {
			fmt.Printf("%-24s up    pid %-8d log %s\n", name, pid, c.layout.LogFile(name))
			continue
		}
		missing++
		fmt.Printf("%-24s down\n", name)
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d components are down", missing, len(node.Components))
	}
	kubectl, err := c.cache.Path(ctx, build.Kubectl)
	if err != nil {
		return err
	}
	output, err := addons.Kubectl{Path: kubectl, Kubeconfig: c.layout.Kubeconfig()}.Run(ctx, "", "get", "nodes,pods", "-A")
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\nregistry %s (CA %s)\nkubeconfig %s\n", output, c.layout.Registry(), c.layout.RegistryCA(), c.layout.Kubeconfig())
	return nil
}

// Load implements cluster.
func (c *local) Load(ctx context.Context, _, archive string) error {
	return images.Containerd{Socket: c.layout.ContainerdSocket()}.Import(ctx, archive)
}

// Env implements cluster.
func (c *local) Env(ctx context.Context) (map[string]string, error) {
	assets, err := c.cache.Assets(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"KUBECONFIG":             c.layout.Kubeconfig(),
		"KUBEWARDEN_REGISTRY":    c.layout.Registry(),
		"KUBEWARDEN_REGISTRY_CA": c.layout.RegistryCA(),
		"PATH":                   assets + ":" + os.Getenv("PATH"),
	}, nil
}
