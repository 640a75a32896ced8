package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestShellQuote(t *testing.T) {
	for _, want := range []string{"", "plain", "two words", "it's $HOME `true` \\ \"x\"", "a\nb"} {
		output, err := exec.Command("sh", "-c", "printf %s "+shellQuote(want)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(output); got != want {
			t.Errorf("a shell reads %q as %q", want, got)
		}
	}
}

func TestSelectCluster(t *testing.T) {
	t.Setenv("CLUSTER", "existing")
	if got, err := selectCluster(); err != nil || got != (existing{}) {
		t.Errorf("CLUSTER=existing selects %v, %v", got, err)
	}
	t.Setenv("CLUSTER", "minikube")
	_, err := selectCluster()
	if want := `CLUSTER is "minikube"; allowed are local, kind and existing`; err == nil || err.Error() != want {
		t.Errorf("selectCluster = %v, want %s", err, want)
	}
}

func TestEnvOfAnExistingCluster(t *testing.T) {
	t.Setenv("CLUSTER", "existing")
	t.Setenv("HOME", "/home/somebody")
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBEWARDEN_REGISTRY_CA", "")
	run := func() (string, error) {
		root := rootCommand()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{"env"})
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	t.Setenv("KUBEWARDEN_REGISTRY", "")
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "KUBEWARDEN_REGISTRY") {
		t.Errorf("env without a registry = %v, want an error that names the variable", err)
	}
	t.Setenv("KUBEWARDEN_REGISTRY", "registry.test:5000")
	got, err := run()
	if err != nil {
		t.Fatal(err)
	}
	want := "export KUBECONFIG='/home/somebody/.kube/config'\nexport KUBEWARDEN_REGISTRY='registry.test:5000'\nexport KUBEWARDEN_REGISTRY_CA=''\n"
	if got != want {
		t.Errorf("env prints %q, want %q", got, want)
	}
}

func TestImageOfABinaryChangesWithIt(t *testing.T) {
	if got, want := imageOf("/cache/bin/coredns-0123/coredns"), "localhost/kubewarden-cluster/coredns:coredns-0123"; got != want {
		t.Errorf("imageOf = %s, want %s", got, want)
	}
}

func TestSourceDir(t *testing.T) {
	want, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sourceDir(); err != nil || got != want {
		t.Errorf("sourceDir = %s, %v; want %s", got, err, want)
	}
	t.Chdir("/")
	if got, err := sourceDir(); err == nil {
		t.Errorf("sourceDir = %s outside of the project, want an error", got)
	}
}
