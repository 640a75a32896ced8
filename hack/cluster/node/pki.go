package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of every certificate: longer than any test cluster lives.
const lifetime = 365 * 24 * time.Hour

// authority signs certificates. Its key is kept too: the controller manager signs the
// requests of the cluster's users with it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// leaf is a certificate for one party: as a client by name and organizations, which are
// user and groups to the API server, as a server by hosts.
type leaf struct {
	file          string
	name          string
	organizations []string
	hosts         []string
}

// writePKI makes the certificate authorities and all certificates of the node, afresh.
func writePKI(layout Layout, now time.Time) error {
	dir := layout.path("pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	apiHosts := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + ClusterDomain,
		"localhost", "127.0.0.1", APIServiceIP, layout.NodeIP,
	}
	families := []struct {
		authority string
		leaves    []leaf
	}{
		{"ca", []leaf{
			{file: "apiserver", name: "kube-apiserver", hosts: apiHosts},
			{file: "apiserver-kubelet", name: "kube-apiserver-kubelet-client", organizations: []string{"system:masters"}},
			{file: "admin", name: "kubernetes-admin", organizations: []string{"system:masters"}},
			{file: "controller-manager", name: "system:kube-controller-manager", hosts: []string{"127.0.0.1"}},
			{file: "scheduler", name: "system:kube-scheduler", hosts: []string{"127.0.0.1"}},
			{file: "proxy", name: "system:kube-proxy"},
			{file: "kubelet", name: "system:node:" + Name, organizations: []string{"system:nodes"}, hosts: []string{Name, layout.NodeIP, "127.0.0.1"}},
		}},
		{"front-proxy-ca", []leaf{{file: "front-proxy", name: "front-proxy-client"}}},
		{"registry-ca", []leaf{{file: "registry", name: "registry", hosts: []string{"localhost", "127.0.0.1", layout.NodeIP, RegistryHost}}}},
	}
	for _, family := range families {
		ca, err := newAuthority(dir, family.authority, now)
		if err != nil {
			return fmt.Errorf("make certificate authority %s: %w", family.authority, err)
		}
		for _, leaf := range family.leaves {
			if err := ca.issue(dir, leaf, now); err != nil {
				return fmt.Errorf("issue certificate %s: %w", leaf.file, err)
			}
		}
	}
	return writeServiceAccountKey(dir)
}

func newAuthority(dir, name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, writeKey(filepath.Join(dir, name+".key"), key)
}

func (a *authority) issue(dir string, leaf leaf, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: leaf.name, Organization: leaf.organizations},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range leaf.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, leaf.file+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, leaf.file+".key"), key)
}

func writeServiceAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, "service-account.key"), key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
