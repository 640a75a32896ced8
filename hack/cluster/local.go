package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/lock"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/node"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// programUser is the user that programs packed into images run as.
const programUser = "65532"

// local is a cluster of processes on this machine.
type local struct {
	layout   node.Layout
	cache    *build.Cache
	progress *progress.Printer
	now      func() time.Time
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
	return &local{layout: layout, cache: cache, progress: cache.Progress, now: time.Now}, nil
}

// Up implements cluster.
func (c *local) Up(ctx context.Context) error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := c.layout.Adopt(); err != nil {
		return err
	}
	start := c.now()
	c.progress.Say("Bringing up a Kubernetes " + build.KubernetesVersion + " cluster on this machine")
	if err := ensurePackages(ctx, packagesForNode, c.progress); err != nil {
		return err
	}
	server, addonImages, err := c.node(ctx)
	if err != nil {
		return err
	}
	if err := server.Up(ctx); err != nil {
		return err
	}
	if err := c.installAddons(ctx, addonImages); err != nil {
		return err
	}
	c.progress.Say(fmt.Sprintf("The cluster is up after %s: export KUBECONFIG=%s", c.now().Sub(start).Round(time.Second), c.layout.Kubeconfig()))
	return nil
}

// addonImages are the images of what is installed into the cluster.
type addonImages struct{ coreDNS, certManager string }

// node is the node with all that it is started from.
func (c *local) node(ctx context.Context) (*node.Node, addonImages, error) {
	programs, err := c.programs(ctx)
	if err != nil {
		return nil, addonImages{}, err
	}
	pause, err := c.program(ctx, build.Pause)
	if err != nil {
		return nil, addonImages{}, err
	}
	pause.Image = node.PauseImage // containerd knows it by this name
	coreDNS, err := c.program(ctx, build.CoreDNS)
	if err != nil {
		return nil, addonImages{}, err
	}
	certManager, err := c.program(ctx, build.CertManager)
	if err != nil {
		return nil, addonImages{}, err
	}
	load := func(ctx context.Context) error { return c.importPrograms(ctx, pause, coreDNS, certManager) }
	return &node.Node{Layout: c.layout, Programs: programs, Progress: c.progress, Now: c.now, LoadImages: load},
		addonImages{coreDNS.Image, certManager.Image}, nil
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a local cluster needs root: it mounts, makes network links and runs containers; CLUSTER=kind and CLUSTER=existing do not")
	}
	return nil
}

func (c *local) programs(ctx context.Context) (node.Programs, error) {
	var programs node.Programs
	for _, program := range []struct {
		binary build.Binary
		path   *string
	}{
		{build.APIServer, &programs.APIServer},
		{build.ControllerManager, &programs.ControllerManager},
		{build.Scheduler, &programs.Scheduler},
		{build.Kubelet, &programs.Kubelet},
		{build.Proxy, &programs.Proxy},
		{build.Kubectl, &programs.Kubectl},
		{build.Etcd, &programs.Etcd},
	} {
		var err error
		if *program.path, err = c.cache.Path(ctx, program.binary); err != nil {
			return programs, err
		}
	}
	var err error
	programs.Containerd, err = exec.LookPath("containerd")
	return programs, err
}

// program is a binary as an image of its own. Its tag changes with the binary, so that
// whoever names the image gets that very one.
func (c *local) program(ctx context.Context, binary build.Binary) (images.Program, error) {
	path, err := c.cache.Path(ctx, binary)
	return images.Program{Image: imageOf(path), Path: path, User: programUser}, err
}

// imageOf names the image of a binary in the cache, whose folder is its key.
func imageOf(path string) string {
	return "localhost/kubewarden-cluster/" + filepath.Base(path) + ":" + filepath.Base(filepath.Dir(path))
}

func (c *local) importPrograms(ctx context.Context, programs ...images.Program) error {
	containerd := images.Containerd{Socket: c.layout.ContainerdSocket()}
	for _, program := range programs {
		if err := containerd.ImportProgram(ctx, program); err != nil {
			return err
		}
	}
	return nil
}

func (c *local) installAddons(ctx context.Context, addonImages addonImages) error {
	kubectl, err := c.Kubectl(ctx)
	if err != nil {
		return err
	}
	source, err := c.cache.ModuleDir(ctx, build.CertManager.Module, "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	return c.progress.Step("install the cluster DNS and cert-manager", func() error {
		return addons.Install(ctx, kubectl, addons.Config{
			ImageCoreDNS:     addonImages.coreDNS,
			ImageCertManager: addonImages.certManager,
			ClusterDomain:    node.ClusterDomain,
			DNSServiceIP:     node.DNSServiceIP,
			RegistryIP:       c.layout.NodeIP,
			RegistryPort:     node.PortRegistry,
			CertManagerCRDs:  filepath.Join(source, "deploy", "crds"),
		})
	})
}

// Kubectl implements cluster.
func (c *local) Kubectl(ctx context.Context) (addons.Kubectl, error) {
	path, err := c.cache.Path(ctx, build.Kubectl)
	return addons.Kubectl{Path: path, Kubeconfig: c.layout.Kubeconfig()}, err
}

// Down implements cluster.
func (c *local) Down(ctx context.Context) error {
	if err := needRoot(); err != nil {
		return err
	}
	return c.progress.Step("take the cluster down", func() error {
		return errors.Join(c.layout.Down(ctx), c.unmountImages(ctx), releaseServices())
	})
}

// unmountImages removes the mounts of an image build that was killed. One that is at work
// is waited for.
func (c *local) unmountImages(ctx context.Context) error {
	storage, err := imageStorage()
	if err != nil {
		return err
	}
	release, err := lock.Folder(ctx, storage, func() { c.progress.Say("     an image is being built; waiting") })
	if err != nil {
		return err
	}
	defer release()
	return node.Unmount(storage)
}

// Status implements cluster.
func (c *local) Status(ctx context.Context, out io.Writer) error {
	missing := 0
	for _, name := range node.Components {
		line := fmt.Sprintf("%-24s down\n", name)
		if pid := c.layout.PID(name); pid != 0 {
			line = fmt.Sprintf("%-24s up    pid %-8d log %s\n", name, pid, c.layout.LogFile(name))
		} else {
			missing++
		}
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d components are down", missing, len(node.Components))
	}
	kubectl, err := c.Kubectl(ctx)
	if err != nil {
		return err
	}
	pods, err := kubectl.Run(ctx, "", "get", "nodes,pods", "--all-namespaces")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s\nregistry    %s (CA %s)\nkubeconfig  %s\n", pods, c.layout.Registry(), c.layout.RegistryCA(), c.layout.Kubeconfig())
	return err
}

// Load implements cluster.
func (c *local) Load(ctx context.Context, _, archive string) error {
	return images.Containerd{Socket: c.layout.ContainerdSocket()}.Import(ctx, archive)
}

// Env implements cluster.
func (c *local) Env(ctx context.Context) (map[string]string, error) {
	if _, err := os.Stat(c.layout.Kubeconfig()); err != nil {
		return nil, fmt.Errorf("find the kubeconfig of the local cluster (is it up?): %w", err)
	}
	assets, err := c.cache.Assets(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"KUBECONFIG":             c.layout.Kubeconfig(),
		"KUBEWARDEN_REGISTRY":    c.layout.Registry(),
		"KUBEWARDEN_REGISTRY_CA": c.layout.RegistryCA(),
		// The same registry for Pods alone, by a name of the cluster's DNS.
		"KUBEWARDEN_REGISTRY_INSIDE": c.layout.RegistryInside(),
		"PATH":                       assets + ":" + os.Getenv("PATH"),
	}, nil
}
