package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Layout says where everything of the node is. All of it goes with Down.
type Layout struct {
	// State holds files that live as long as the cluster.
	State string
	// Run holds sockets; it is short because a socket's path is limited to 107 bytes.
	Run string
	// NodeIP is the machine's own address that Pods and endpoints use.
	NodeIP string
}

// Addresses of the cluster. 198.18.0.0/15 is reserved for tests of isolated networks
// (RFC 2544), so it does not clash with a network that the machine is part of.
const (
	TestRange    = "198.18.0.0/15"
	PodRange     = "198.18.0.0/20"
	ServiceRange = "198.18.64.0/20"
	APIServiceIP = "198.18.64.1"
	DNSServiceIP = "198.18.64.10"
)

// Names by which the cluster's things are known on the machine.
const (
	// Name is the node's.
	Name = "kubewarden"
	// NetworkName is the Pod network's.
	NetworkName = "kubewarden-cluster"
	// ClusterDomain ends the DNS name of every Service.
	ClusterDomain = "cluster.local"
	// RegistryHost is the registry's name inside the cluster: only the cluster's DNS knows it.
	RegistryHost = "registry.kube-system.svc." + ClusterDomain
)

// Ports of the components.
const (
	PortAPI      = "6443"
	PortRegistry = "5443"
)

// DefaultLayout is the layout of the one cluster that a machine can have. A cluster that is
// up keeps its address, whatever has happened to the machine's since.
func DefaultLayout() (Layout, error) {
	layout := Layout{State: "/var/lib/kubewarden-cluster", Run: "/run/kubewarden-cluster"}
	recorded, err := layout.Recorded()
	if !errors.Is(err, fs.ErrNotExist) {
		return recorded, err
	}
	addresses, err := net.InterfaceAddrs()
	layout.NodeIP = nodeIP(addresses)
	return layout, err
}

// Recorded is the layout with the address that the node was prepared with.
func (l Layout) Recorded() (Layout, error) {
	recorded, err := os.ReadFile(l.nodeIPFile())
	if err != nil {
		return l, fmt.Errorf("read the node's address: %w", err)
	}
	l.NodeIP = strings.TrimSpace(string(recorded))
	return l, nil
}

func (l Layout) record() error {
	return writeWhole(l.nodeIPFile(), []byte(l.NodeIP+"\n"))
}

// nodeIP is the first IPv4 address of the machine that others could reach it by, empty if
// there is none. It need not be reachable from anywhere: endpoints just may not be
// loopback addresses.
func nodeIP(addresses []net.Addr) string {
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		if ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() && !inRange(network.IP, TestRange) {
			return network.IP.String()
		}
	}
	return ""
}

// inRange says whether a range in CIDR notation holds the address.
func inRange(ip net.IP, cidr string) bool {
	_, network, err := net.ParseCIDR(cidr)
	return err == nil && network.Contains(ip)
}

// Kubeconfig is the administrator's.
func (l Layout) Kubeconfig() string { return l.path("admin.kubeconfig") }

// RegistryCA is the certificate authority of the image and policy registry.
func (l Layout) RegistryCA() string { return l.path("pki", "registry-ca.crt") }

// Registry is host:port of the registry.
func (l Layout) Registry() string { return net.JoinHostPort(l.NodeIP, PortRegistry) }

// RegistryInside is host:port of the registry for Pods, by a name.
func (l Layout) RegistryInside() string { return net.JoinHostPort(RegistryHost, PortRegistry) }

// ContainerdSocket is where containerd answers.
func (l Layout) ContainerdSocket() string { return filepath.Join(l.Run, "containerd.sock") }

// LogFile is where a component's output goes.
func (l Layout) LogFile(name string) string { return l.path("logs", name+".log") }

// Self is the copy of this program that the node runs.
func (l Layout) Self() string { return l.path("bin", "cluster") }

func (l Layout) nodeIPFile() string { return l.path("node-ip") }

// writeWhole writes a file that is there either whole or not at all, whenever this program
// is killed.
func writeWhole(path string, content []byte) error {
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, content, 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}

func (l Layout) path(elements ...string) string {
	return filepath.Join(append([]string{l.State}, elements...)...)
}
