package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// PauseImage keeps the namespaces of a Pod; it is made here, since nothing can be pulled.
const PauseImage = "localhost/kubewarden-cluster/pause:1"

// Node is a node that can be started.
type Node struct {
	Layout   Layout
	Programs Programs
	Progress *progress.Printer
	// FeatureGates are those of the API server that are to differ from their defaults:
	// NAME=true|false, separated by commas.
	FeatureGates string
	// Now is the clock that certificates are dated by.
	Now func() time.Time
	// LoadImages brings the images that the node and its addons need into containerd, the
	// pause image among them. It is called once containerd answers.
	LoadImages func(context.Context) error
}

// Up starts what does not run yet and waits until it answers.
func (n *Node) Up(ctx context.Context) error {
	if err := n.prepare(ctx); err != nil {
		return err
	}
	if err := n.Layout.installSelf(); err != nil {
		return err
	}
	if err := n.Progress.Step("start the registry", func() error { return n.startRegistry(ctx) }); err != nil {
		return err
	}
	return n.start(ctx)
}

// Start starts what Layout.Stop has stopped and waits until it answers. It asks for nothing
// that a cluster could refuse, and does not look at the registry.
func (n *Node) Start(ctx context.Context) error {
	if _, known, err := n.Layout.recall(); err != nil || !known {
		return cmp.Or(err, errors.New("there is no cluster to start; up makes one"))
	}
	return n.start(ctx)
}

func (n *Node) start(ctx context.Context) error {
	if err := closeRange(ctx, PodRange); err != nil {
		return err
	}
	err := together(
		func() error {
			return n.Progress.Step("start etcd and the Kubernetes control plane", func() error { return n.startControlPlane(ctx) })
		},
		func() error {
			return n.Progress.Step("start containerd, load images", func() error { return n.startContainerd(ctx) })
		},
	)
	if err != nil {
		return err
	}
	err = n.Progress.Step("start kubelet and kube-proxy, wait for the node", func() error {
		return errors.Join(n.startKubelet(ctx), n.awaitServices(ctx))
	})
	return errors.Join(err, openRange(ctx, ServiceRange))
}

// together does independent work at the same time.
func together(work ...func() error) error {
	failures := make([]error, len(work))
	var group sync.WaitGroup
	for i, do := range work {
		group.Go(func() { failures[i] = do() })
	}
	group.Wait()
	return errors.Join(failures...)
}

// prepare writes certificates and configuration, once in the life of a cluster, and
// records what the machine is like before the first program of the node runs.
func (n *Node) prepare(ctx context.Context) error {
	if _, known, err := n.Layout.recall(); known || err != nil {
		return err
	}
	if err := n.checkMachine(ctx); err != nil {
		return err
	}
	// Without the record there is no cluster, only what an interrupted up or down has left.
	if err := n.Layout.removeFolders(); err != nil {
		return err
	}
	for _, dir := range []string{n.Layout.State, n.Layout.Run, n.Layout.path("volume-plugins")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	if err := n.Layout.record(); err != nil {
		return err
	}
	if err := writePKI(n.Layout, n.Now()); err != nil {
		return err
	}
	if err := writeConfig(n.Layout); err != nil {
		return err
	}
	return n.Layout.remember(observeMachine())
}

// checkMachine refuses to start beside somebody else's cluster.
func (n *Node) checkMachine(ctx context.Context) error {
	if n.Layout.NodeIP == "" {
		return errors.New("find the machine's address: no network interface has an IPv4 address besides loopback")
	}
	for port, user := range ports {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", port))
		if err != nil {
			return fmt.Errorf("port %s, which %s needs, is in use by another process of this machine (see ss -ltnp): %w", port, user, err)
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	links, err := podLinks()
	if err != nil {
		return err
	}
	if len(links) > 0 {
		return fmt.Errorf("the addresses of Pods, %s, are in use by network interfaces %v of this machine", PodRange, links)
	}
	return checkFirewall(ctx)
}

func (n *Node) startControlPlane(ctx context.Context) error {
	for _, p := range []process{n.etcd(), n.apiServer()} {
		if err := n.Layout.start(p); err != nil {
			return err
		}
	}
	if err := n.Layout.await(ctx, "kube-apiserver", 2*time.Minute, n.kubectl("get", "--raw=/readyz")); err != nil {
		return err
	}
	for _, p := range []process{n.controllerManager(), n.scheduler()} {
		if err := n.Layout.start(p); err != nil {
			return err
		}
	}
	return errors.Join(
		n.awaitAnswer(ctx, "kube-controller-manager", "https://127.0.0.1:10257/healthz"),
		n.awaitAnswer(ctx, "kube-scheduler", "https://127.0.0.1:10259/healthz"),
	)
}

// awaitAnswer waits until a component answers a request well.
func (n *Node) awaitAnswer(ctx context.Context, name, url string) error {
	authorities := x509.NewCertPool()
	for _, file := range []string{n.pki("ca.crt"), n.Layout.RegistryCA()} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		authorities.AppendCertsFromPEM(content)
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
	}}
	return n.Layout.await(ctx, name, 30*time.Second, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s answers %s", url, response.Status)
		}
		return errors.Join(err, response.Body.Close())
	})
}

func (n *Node) startRegistry(ctx context.Context) error {
	if err := n.Layout.start(n.registry()); err != nil {
		return err
	}
	return n.awaitAnswer(ctx, "registry", "https://"+n.Layout.Registry()+"/v2/")
}

func (n *Node) startContainerd(ctx context.Context) error {
	if n.Layout.PID("containerd") == 0 {
		// It forgets the shims that died in its absence, and with them where their sockets are.
		if err := n.Layout.removeShimSockets(isAbandoned); err != nil {
			return err
		}
	}
	if err := n.Layout.start(n.containerd()); err != nil {
		return err
	}
	err := n.Layout.await(ctx, "containerd", 30*time.Second, func(ctx context.Context) error {
		return exec.CommandContext(ctx, "ctr", "--address", n.Layout.ContainerdSocket(), "version").Run()
	})
	if err != nil {
		return err
	}
	return n.LoadImages(ctx)
}

func (n *Node) startKubelet(ctx context.Context) error {
	if err := n.bindRoles(ctx); err != nil {
		return err
	}
	for _, p := range []process{n.kubelet(), n.proxy()} {
		if err := n.Layout.start(p); err != nil {
			return err
		}
	}
	ready := n.kubectl("wait", "--for=condition=Ready", "node/"+Name, "--timeout=1s")
	return errors.Join(
		n.Layout.await(ctx, "kubelet", 90*time.Second, ready),
		n.awaitAnswer(ctx, "kube-proxy", "http://127.0.0.1:10256/healthz"),
	)
}

// bindRoles lets kube-proxy read Services; every other component has its rights by name.
func (n *Node) bindRoles(ctx context.Context) error {
	const name = "kubewarden-cluster-proxy"
	if n.kubectl("get", "clusterrolebinding", name)(ctx) == nil {
		return nil
	}
	return n.kubectl("create", "clusterrolebinding", name, "--clusterrole=system:node-proxier", "--user=system:kube-proxy")(ctx)
}

func (n *Node) kubectl(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, n.Programs.Kubectl, slices.Concat([]string{"--kubeconfig", n.Layout.Kubeconfig()}, args)...)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %s: %w: %s", args[0], err, output)
		}
		return nil
	}
}

// installSelf copies this program into the state folder: the one that runs may be in a
// folder that goes as soon as it ends.
func (l Layout) installSelf() error {
	if l.PID("registry") != 0 {
		return nil // a file that is being run cannot be written
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(executable)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.Self()), 0o755); err != nil {
		return err
	}
	return os.WriteFile(l.Self(), content, 0o755)
}

// UpRegistry starts the registry alone, for a cluster whose nodes run elsewhere.
func (n *Node) UpRegistry(ctx context.Context) error {
	if err := n.Layout.installSelf(); err != nil {
		return err
	}
	if recorded, err := n.Layout.Recorded(); err != nil || recorded != n.Layout {
		if err := writePKI(n.Layout, n.Now()); err != nil {
			return err
		}
		if err := n.Layout.record(); err != nil {
			return err
		}
	}
	return n.Progress.Step("start the registry", func() error { return n.startRegistry(ctx) })
}
