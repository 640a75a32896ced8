package node

import (
	"crypto/tls"
	"crypto/x509"
	"os"
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
	} {
		t.Run(tc.leaf+" "+tc.host, func(t *testing.T) {
			pair, err := tls.LoadX509KeyPair(layout.path("pki", tc.leaf+".crt"), layout.path("pki", tc.leaf+".key"))
			if err != nil {
				t.Fatal(err)
			}
			authority, err := os.ReadFile(layout.path("pki", tc.authority+".crt"))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(authority)
			usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: tc.host, Roots: roots, CurrentTime: now, KeyUsages: usages}); err != nil {
				t.Errorf("verify: %v", err)
			}
			if tc.user != "" && pair.Leaf.Subject.CommonName != tc.user {
				t.Errorf("user is %q, want %q", pair.Leaf.Subject.CommonName, tc.user)
			}
			if tc.group != "" && (len(pair.Leaf.Subject.Organization) != 1 || pair.Leaf.Subject.Organization[0] != tc.group) {
				t.Errorf("groups are %q, want %q", pair.Leaf.Subject.Organization, tc.group)
			}
		})
	}
	// The controller manager signs with it.
	if _, err := tls.LoadX509KeyPair(layout.path("pki", "ca.crt"), layout.path("pki", "ca.key")); err != nil {
		t.Error(err)
	}
}
