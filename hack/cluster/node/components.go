package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// PauseImage keeps the namespaces of a Pod; it is made here, since nothing can be pulled.
const PauseImage = "localhost/kubewarden-cluster/pause:1"

// Names of the components, in the order in which they start.
var Components = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "registry", "containerd", "kubelet", "kube-proxy",
}

// Programs are the paths of what is started.
type Programs struct {
	Etcd, APIServer, ControllerManager, Scheduler, Kubelet, Proxy, Kubectl string
	// Self is this program, which also serves the registry.
	Self string
}

// Node is a node that can be started.
type Node struct {
	Layout   Layout
	Programs Programs
	Progress *progress.Printer
	// Now is the clock that certificates are dated by.
	Now func() time.Time
	// LoadPause imports the pause image once containerd answers.
	LoadPause func(context.Context) error
}

// Up starts what does not run yet and waits until it answers.
func (n *Node) Up(ctx context.Context) error {
	if err := n.prepare(); err != nil {
		return err
	}
	steps := []struct {
		title string
		work  func(context.Context) error
	}{
		{"start etcd and the Kubernetes control plane", n.startControlPlane},
		{"start the registry", n.startRegistry},
		{"start containerd", n.startContainerd},
		{"start kubelet and kube-proxy, wait for the node", n.startKubelet},
	}
	for _, step := range steps {
		if err := n.Progress.Step(step.title, func() error { return step.work(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// prepare writes certificates and configuration, once for the life of a cluster.
func (n *Node) prepare() error {
	if _, err := os.Stat(n.Layout.path("prepared")); err == nil {
		return nil
	}
	if err := n.checkPorts(); err != nil {
		return err
	}
	for _, dir := range []string{n.Layout.State, n.Layout.Run, n.Layout.path("registry")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	if err := rememberForeignFiles(n.Layout); err != nil {
		return err
	}
	if err := writePKI(n.Layout, n.Now()); err != nil {
		return err
	}
	if err := writeConfig(n.Layout); err != nil {
		return err
	}
	return os.WriteFile(n.Layout.path("prepared"), nil, 0o644)
}

// checkPorts refuses to start beside somebody else's cluster.
func (n *Node) checkPorts() error {
	for port, user := range map[string]string{
		"2379": "etcd", PortAPI: "kube-apiserver", "10257": "kube-controller-manager", "10259": "kube-scheduler",
		"10250": "kubelet", "10256": "kube-proxy", PortRegistry: "the registry",
	} {
		listener, err := net.Listen("tcp", net.JoinHostPort("", port))
		if err != nil {
			return fmt.Errorf("port %s, which %s needs, is in use by another process of this machine (see ss -ltnp): %w", port, user, err)
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) startControlPlane(ctx context.Context) error {
	l, pki := n.Layout, func(name string) string { return n.Layout.path("pki", name) }
	etcd := process{name: "etcd", args: []string{
		n.Programs.Etcd, "--data-dir", l.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
	}}
	apiserver := process{name: "kube-apiserver", args: []string{
		n.Programs.APIServer, "--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address=" + l.NodeIP, "--secure-port=" + PortAPI, "--service-cluster-ip-range=" + ServiceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--client-ca-file=" + pki("ca.crt"), "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + pki("service-account.key"), "--service-account-signing-key-file=" + pki("service-account.key"),
		"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + pki("front-proxy.crt"), "--proxy-client-key-file=" + pki("front-proxy.key"),
	}}
	manager := process{name: "kube-controller-manager", args: []string{
		n.Programs.ControllerManager, "--kubeconfig=" + l.path("controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + l.path("controller-manager.kubeconfig"), "--authorization-kubeconfig=" + l.path("controller-manager.kubeconfig"),
		"--use-service-account-credentials", "--service-account-private-key-file=" + pki("service-account.key"),
		"--root-ca-file=" + pki("ca.crt"), "--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
		"--leader-elect=false", "--node-monitor-grace-period=40s",
	}}
	scheduler := process{name: "kube-scheduler", args: []string{
		n.Programs.Scheduler, "--kubeconfig=" + l.path("scheduler.kubeconfig"),
		"--authentication-kubeconfig=" + l.path("scheduler.kubeconfig"), "--authorization-kubeconfig=" + l.path("scheduler.kubeconfig"),
		"--leader-elect=false",
	}}
	if err := l.start(etcd); err != nil {
		return err
	}
	if err := l.start(apiserver); err != nil {
		return err
	}
	if err := l.await(ctx, "kube-apiserver", 2*time.Minute, n.kubectlProbe("get", "--raw=/readyz")); err != nil {
		return err
	}
	for _, p := range []process{manager, scheduler} {
		if err := l.start(p); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) startRegistry(ctx context.Context) error {
	l := n.Layout
	err := l.start(process{name: "registry", args: []string{
		n.Programs.Self, "registry-serve", "--address", net.JoinHostPort("", PortRegistry), "--dir", l.path("registry"),
		"--cert", l.path("pki", "registry.crt"), "--key", l.path("pki", "registry.key"),
	}})
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, // only whether it answers is asked
	}}
	return l.await(ctx, "registry", 10*time.Second, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.Registry()+"/v2/", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
}

func (n *Node) startContainerd(ctx context.Context) error {
	l := n.Layout
	containerd, err := exec.LookPath("containerd")
	if err != nil {
		return err
	}
	err = l.start(process{name: "containerd", args: []string{containerd, "--config", l.path("containerd.toml"), "--log-level", "warn"}})
	if err != nil {
		return err
	}
	err = l.await(ctx, "containerd", 30*time.Second, func(ctx context.Context) error {
		return exec.CommandContext(ctx, "ctr", "--address", l.ContainerdSocket(), "version").Run()
	})
	if err != nil {
		return err
	}
	return n.LoadPause(ctx)
}

func (n *Node) startKubelet(ctx context.Context) error {
	l := n.Layout
	kubelet := process{name: "kubelet", args: []string{
		n.Programs.Kubelet, "--config", l.path("kubelet.yaml"), "--kubeconfig", l.path("kubelet.kubeconfig"),
		"--root-dir", l.path("kubelet"), "--hostname-override", Name, "--node-ip", l.NodeIP, "--cert-dir", l.path("pki"),
	}}
	proxy := process{name: "kube-proxy", args: []string{n.Programs.Proxy, "--config", l.path("proxy.yaml")}}
	if err := n.bindRoles(ctx); err != nil {
		return err
	}
	for _, p := range []process{kubelet, proxy} {
		if err := l.start(p); err != nil {
			return err
		}
	}
	ready := n.kubectlProbe("wait", "--for=condition=Ready", "node/"+Name, "--timeout=1s")
	return l.await(ctx, "kubelet", 90*time.Second, ready)
}

// bindRoles lets kube-proxy read Services; every other component has its rights by name.
func (n *Node) bindRoles(ctx context.Context) error {
	if n.kubectlProbe("get", "clusterrolebinding", "kubewarden-cluster-proxy")(ctx) == nil {
		return nil
	}
	return n.kubectlProbe("create", "clusterrolebinding", "kubewarden-cluster-proxy",
		"--clusterrole=system:node-proxier", "--user=system:kube-proxy")(ctx)
}

func (n *Node) kubectlProbe(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, n.Programs.Kubectl, append([]string{"--kubeconfig", n.Layout.Kubeconfig()}, args...)...)
		output, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("kubectl %s: %w: %s", args[0], err, output)
		}
		return nil
	}
}

// InstallSelf copies this program into the state folder: the one that runs may be in a
// folder that goes as soon as it ends.
func InstallSelf(layout Layout) (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := layout.path("bin", "cluster")
	if layout.Running("registry") {
		return path, nil
	}
	content, err := os.ReadFile(executable)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, content, 0o755)
}

// UpRegistry starts the registry alone, for a cluster whose nodes run elsewhere.
func (n *Node) UpRegistry(ctx context.Context) error {
	if _, err := os.Stat(n.Layout.RegistryCA()); err != nil {
		if err := os.MkdirAll(n.Layout.path("registry"), 0o755); err != nil {
			return err
		}
		if err := writePKI(n.Layout, n.Now()); err != nil {
			return err
		}
	}
	if err := os.WriteFile(n.Layout.path("registry-address"), []byte(n.Layout.Registry()), 0o644); err != nil {
		return err
	}
	return n.Progress.Step("start the registry", func() error { return n.startRegistry(ctx) })
}
