package addons

import (
	"context"
	"embed"
	"fmt"
	"os/exec"
	"strings"
	"text/template"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// Config is what the manifests are filled in with.
type Config struct {
	// ImageCoreDNS and ImageCertManager are in the cluster before Install.
	ImageCoreDNS, ImageCertManager string
	// ClusterDomain and DNSServiceIP are what kubelet tells Pods about the cluster DNS.
	ClusterDomain, DNSServiceIP string
	// RegistryIP and RegistryPort are where the registry listens; Pods find it by the name of
	// a Service.
	RegistryIP, RegistryPort string
	// CertManagerCRDs is the folder with cert-manager's own CustomResourceDefinitions.
	CertManagerCRDs string
}

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
func Install(ctx context.Context, kubectl Kubectl, config Config) error {
	for _, manifest := range []string{"coredns.yaml", "registry.yaml"} {
		if err := kubectl.apply(ctx, manifest, config); err != nil {
			return err
		}
	}
	if err := InstallCertManager(ctx, kubectl, config); err != nil {
		return err
	}
	return kubectl.available(ctx, "kube-system", "coredns")
}

// InstallCertManager applies cert-manager and waits until it is available.
func InstallCertManager(ctx context.Context, kubectl Kubectl, config Config) error {
	if _, err := kubectl.Run(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", config.CertManagerCRDs); err != nil {
		return err
	}
	if err := kubectl.apply(ctx, "cert-manager.yaml", config); err != nil {
		return err
	}
	if err := kubectl.established(ctx, "crd/certificates.cert-manager.io", "crd/issuers.cert-manager.io"); err != nil {
		return err
	}
	return kubectl.available(ctx, "cert-manager", "cert-manager")
}

// established waits until custom kinds are served.
func (k Kubectl) established(ctx context.Context, crds ...string) error {
	// kubectl cannot read the conditions of a definition that is so new that it has none;
	// the accepted names come with the first.
	for _, state := range []string{"jsonpath={.status.acceptedNames.listKind}", "condition=Established"} {
		if _, err := k.Run(ctx, "", append([]string{"wait", "--for=" + state, "--timeout=60s"}, crds...)...); err != nil {
			return err
		}
	}
	return nil
}

// available waits for Deployments of a namespace.
func (k Kubectl) available(ctx context.Context, namespace string, deployments ...string) error {
	for _, name := range deployments {
		if _, err := k.Run(ctx, "", "--namespace="+namespace, "rollout", "status", "deployment/"+name, "--timeout=180s"); err != nil {
			return err
		}
	}
	return nil
}

// apply fills a manifest in with values, the fields of a struct, and applies it.
func (k Kubectl) apply(ctx context.Context, name string, values any) error {
	manifest, err := render(name, values)
	if err != nil {
		return err
	}
	_, err = k.Run(ctx, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

func render(name string, values any) (string, error) {
	parsed, err := template.ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return "", fmt.Errorf("parse manifest %s: %w", name, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, values); err != nil {
		return "", fmt.Errorf("render manifest %s: %w", name, err)
	}
	return out.String(), nil
}
