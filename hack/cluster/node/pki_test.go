package node

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"slices"
	"testing"
	"time"
)

func TestPKI(t *testing.T) {
	layout := newTestLayout(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := writePKI(layout, now); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ authority, leaf, host, user, group string }{
		{"ca", "apiserver", APIServiceIP, "", ""},
		{"ca", "apiserver", "kubernetes.default.svc", "", ""},
		{"ca", "kubelet", layout.NodeIP, "system:node:" + Name, "system:nodes"},
		{"ca", "controller-manager", "127.0.0.1", "system:kube-controller-manager", ""},
		{"ca", "admin", "", "kubernetes-admin", "system:masters"},
		{"front-proxy-ca", "front-proxy", "", "front-proxy-client", ""},
		{"registry-ca", "registry", layout.NodeIP, "", ""},
		{"registry-ca", "registry", "registry.kube-system.svc.cluster.local", "", ""},
	} {
		t.Run(tc.leaf+" "+tc.host, func(t *testing.T) {
			subject := verify(t, layout.path("pki", tc.authority+".crt"), layout.path("pki", tc.leaf), x509.VerifyOptions{DNSName: tc.host, CurrentTime: now})
			if tc.user != "" && subject.CommonName != tc.user {
				t.Errorf("user is %q, want %q", subject.CommonName, tc.user)
			}
			if tc.group != "" && !slices.Equal(subject.Organization, []string{tc.group}) {
				t.Errorf("groups are %q, want %q", subject.Organization, tc.group)
			}
		})
	}
	// The controller manager signs with it.
	if _, err := tls.LoadX509KeyPair(layout.path("pki", "ca.crt"), layout.path("pki", "ca.key")); err != nil {
		t.Error(err)
	}
}

// verify fails unless the authority of a file vouches for a pair of files, and returns whose
// the pair is.
func verify(t *testing.T, authority, leaf string, options x509.VerifyOptions) pkix.Name {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(leaf+".crt", leaf+".key")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	options.Roots = x509.NewCertPool()
	options.Roots.AppendCertsFromPEM(content)
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := pair.Leaf.Verify(options); err != nil {
		t.Errorf("verify: %v", err)
	}
	return pair.Leaf.Subject
}
