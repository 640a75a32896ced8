package node

import (
	"net"
	"path/filepath"
)

// Components are the names of the node's processes, in the order in which they start.
var Components = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "registry", "containerd", "kubelet", "kube-proxy",
}

// ports are what the components listen on. Only what Pods need is open on the node's
// address: the API server, kubelet and the registry.
var ports = map[string]string{
	"2379":       "etcd",
	"2380":       "etcd",
	PortAPI:      "kube-apiserver",
	"10257":      "kube-controller-manager",
	"10259":      "kube-scheduler",
	PortRegistry: "registry",
	"10248":      "kubelet",
	"10250":      "kubelet",
	"10249":      "kube-proxy",
	"10256":      "kube-proxy",
}

// Programs are the paths of what is started.
type Programs struct {
	Etcd, APIServer, ControllerManager, Scheduler, Kubelet, Proxy, Kubectl, Containerd string
}

func (n *Node) etcd() process {
	return process{name: "etcd", program: n.Programs.Etcd, args: []string{
		"--data-dir=" + n.Layout.path("etcd"),
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--unsafe-no-fsync", "--log-level=warn", // the data lives as long as the cluster: nobody waits for the disk
	}}
}

func (n *Node) apiServer() process {
	return process{name: "kube-apiserver", program: n.Programs.APIServer, args: []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address=" + n.Layout.NodeIP, "--secure-port=" + PortAPI, "--service-cluster-ip-range=" + ServiceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--admission-control-config-file=" + n.Layout.path("admission.yaml"),
		"--client-ca-file=" + n.pki("ca.crt"),
		"--tls-cert-file=" + n.pki("apiserver.crt"), "--tls-private-key-file=" + n.pki("apiserver.key"),
		"--kubelet-certificate-authority=" + n.pki("ca.crt"),
		"--kubelet-client-certificate=" + n.pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + n.pki("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP", // the node's name is in no DNS
		"--service-account-issuer=https://kubernetes.default.svc." + ClusterDomain,
		"--service-account-key-file=" + n.pki("service-account.key"), "--service-account-signing-key-file=" + n.pki("service-account.key"),
		"--requestheader-client-ca-file=" + n.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + n.pki("front-proxy.crt"), "--proxy-client-key-file=" + n.pki("front-proxy.key"),
		"--feature-gates=" + n.FeatureGates,
	}}
}

func (n *Node) controllerManager() process {
	kubeconfig := n.Layout.path("controller-manager.kubeconfig")
	return process{name: "kube-controller-manager", program: n.Programs.ControllerManager, args: []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false",
		"--tls-cert-file=" + n.pki("controller-manager.crt"), "--tls-private-key-file=" + n.pki("controller-manager.key"),
		"--use-service-account-credentials", "--service-account-private-key-file=" + n.pki("service-account.key"),
		"--root-ca-file=" + n.pki("ca.crt"),
		"--flex-volume-plugin-dir=" + n.Layout.path("volume-plugins"), // which it would make elsewhere
		"--cluster-signing-cert-file=" + n.pki("ca.crt"), "--cluster-signing-key-file=" + n.pki("ca.key"),
	}}
}

func (n *Node) scheduler() process {
	kubeconfig := n.Layout.path("scheduler.kubeconfig")
	return process{name: "kube-scheduler", program: n.Programs.Scheduler, args: []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false",
		"--tls-cert-file=" + n.pki("scheduler.crt"), "--tls-private-key-file=" + n.pki("scheduler.key"),
	}}
}

func (n *Node) registry() process {
	return process{name: "registry", program: n.Layout.Self(), args: []string{
		"registry-serve", "--address=" + net.JoinHostPort(n.Layout.NodeIP, PortRegistry), "--dir=" + n.Layout.path("registry"),
		"--cert=" + n.pki("registry.crt"), "--key=" + n.pki("registry.key"),
	}}
}

func (n *Node) containerd() process {
	return process{name: "containerd", program: n.Programs.Containerd, args: []string{
		"--config=" + n.Layout.path("containerd.toml"), "--log-level=warn",
	}}
}

func (n *Node) kubelet() process {
	return process{name: "kubelet", program: n.Programs.Kubelet, args: []string{
		"--config=" + n.Layout.path("kubelet.yaml"), "--kubeconfig=" + n.Layout.path("kubelet.kubeconfig"),
		"--root-dir=" + n.Layout.path("kubelet"), "--cert-dir=" + n.pki(),
		"--hostname-override=" + Name, "--node-ip=" + n.Layout.NodeIP,
	}}
}

func (n *Node) proxy() process {
	return process{name: "kube-proxy", program: n.Programs.Proxy, args: []string{"--config=" + n.Layout.path("proxy.yaml")}}
}

func (n *Node) pki(file ...string) string {
	return filepath.Join(append([]string{n.Layout.path("pki")}, file...)...)
}
