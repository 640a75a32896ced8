package addons

import (
	"context"
	"embed"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// Images that the manifests name; they are loaded before Install.
const (
	ImageCoreDNS     = "localhost/kubewarden-cluster/coredns:1"
	ImageCertManager = "localhost/kubewarden-cluster/cert-manager:1"
)

// Kubectl is how the cluster is talked to.
type Kubectl struct {
	Path       string
	Kubeconfig string
}

// Run runs kubectl and returns what it printed.
func (k Kubectl) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.Path, append([]string{"--kubeconfig", k.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return string(output), nil
}

// Install applies the cluster DNS and cert-manager and waits until they are available.
// certManagerCRDs is the folder with cert-manager's own CustomResourceDefinitions.
func Install(ctx context.Context, kubectl Kubectl, certManagerCRDs string) error {
	if err := applyManifest(ctx, kubectl, "manifests/coredns.yaml"); err != nil {
		return err
	}
	if err := InstallCertManager(ctx, kubectl, certManagerCRDs); err != nil {
		return err
	}
	_, err := kubectl.Run(ctx, "", "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	return err
}

// InstallCertManager applies cert-manager and waits until it is available.
func InstallCertManager(ctx context.Context, kubectl Kubectl, crds string) error {
	if _, err := kubectl.Run(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", crds); err != nil {
		return err
	}
	if err := applyManifest(ctx, kubectl, "manifests/cert-manager.yaml"); err != nil {
		return err
	}
	for _, wait := range [][]string{
		{"wait", "--for=condition=Established", "crd/certificates.cert-manager.io", "crd/issuers.cert-manager.io", "--timeout=60s"},
		{"--namespace=cert-manager", "rollout", "status", "deployment/cert-manager", "--timeout=120s"},
	} {
		if _, err := kubectl.Run(ctx, "", wait...); err != nil {
			return err
		}
	}
	return nil
}

func applyManifest(ctx context.Context, kubectl Kubectl, name string) error {
	manifest, err := manifests.ReadFile(name)
	if err != nil {
		return err
	}
	_, err = kubectl.Run(ctx, string(manifest), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}
