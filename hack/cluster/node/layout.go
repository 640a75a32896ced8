package node

import (
	"errors"
	"net"
	"path/filepath"
)

// Layout says where everything of the node is. All of it goes with teardown.
type Layout struct {
	// State holds files that live as long as the cluster.
	State string
	// Run holds sockets; it is short because a socket's path is limited to 107 bytes.
	Run string
	// NodeIP is the machine's own address that Pods and endpoints use.
	NodeIP string
}

// Addresses of the cluster. 198.18.0.0/15 is reserved for tests of isolated networks
// (RFC 2544), so it cannot clash with a network that the machine is part of.
const (
	PodRange     = "198.18.0.0/20"
	ServiceRange = "198.18.64.0/20"
	APIServiceIP = "198.18.64.1"
	DNSServiceIP = "198.18.64.10"
	Bridge       = "kwcluster0"
	NetworkName  = "kubewarden-cluster"
	Name         = "kubewarden"
	PortAPI      = "6443"
	PortRegistry = "5443"
)

// DefaultLayout is the layout of the one cluster a machine can have.
func DefaultLayout() (Layout, error) {
	layout := Layout{State: "/var/lib/kubewarden-cluster", Run: "/run/kubewarden-cluster"}
	var err error
	layout.NodeIP, err = nodeIP()
	return layout, err
}

// nodeIP is the first IPv4 address of the machine that others could reach it by. It need
// not be reachable from anywhere: endpoints just may not be loopback addresses.
func nodeIP() (string, error) {
	_, tests, err := net.ParseCIDR("198.18.0.0/15")
	if err != nil {
		return "", err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		if !ok || network.IP.To4() == nil || !network.IP.IsGlobalUnicast() || tests.Contains(network.IP) {
			continue
		}
		return network.IP.String(), nil
	}
	return "", errors.New("find the machine's address: no interface has an IPv4 address besides loopback")
}

// Kubeconfig is the administrator's.
func (l Layout) Kubeconfig() string { return l.path("admin.kubeconfig") }

// RegistryCA is the certificate authority of the image and policy registry.
func (l Layout) RegistryCA() string { return l.path("pki", "registry-ca.crt") }

// Registry is host:port of the registry.
func (l Layout) Registry() string { return net.JoinHostPort(l.NodeIP, PortRegistry) }

// ContainerdSocket is where containerd answers.
func (l Layout) ContainerdSocket() string { return filepath.Join(l.Run, "containerd.sock") }

func (l Layout) path(elements ...string) string {
	return filepath.Join(append([]string{l.State}, elements...)...)
}
