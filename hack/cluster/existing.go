package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
)

// existing is the cluster of the current kubeconfig. It is used, never changed as a whole.
type existing struct{}

var _ cluster = existing{}

// Up implements cluster: the cluster only has to answer.
func (existing) Up(ctx context.Context) error {
	if output, err := exec.CommandContext(ctx, "kubectl", "get", "--raw=/readyz").CombinedOutput(); err != nil {
		return fmt.Errorf("ask the cluster of the current kubeconfig whether it is ready: %w: %s", err, output)
	}
	return nil
}

// Down implements cluster: what was there before stays.
func (existing) Down(context.Context) error { return nil }

// Status implements cluster.
func (existing) Status(ctx context.Context, out io.Writer) error {
	return runShown(exec.CommandContext(ctx, "kubectl", "get", "nodes", "--output=wide"), out)
}

// Load implements cluster: how images reach somebody else's nodes is theirs to say.
func (existing) Load(_ context.Context, image, archive string) error {
	return fmt.Errorf("load into somebody else's nodes: push %s (archive %s) to a registry that they pull from, and set IMG to its name there", image, archive)
}

// Kubectl implements cluster.
func (existing) Kubectl(context.Context) (addons.Kubectl, error) {
	config, err := kubeconfig()
	return addons.Kubectl{Path: "kubectl", Kubeconfig: config}, err
}

// kubeconfig is the file that kubectl would take.
func kubeconfig() (string, error) {
	home, err := os.UserHomeDir()
	return cmp.Or(os.Getenv("KUBECONFIG"), filepath.Join(home, ".kube", "config")), err
}

// Env implements cluster: the registry of the policies must be named by the user.
func (existing) Env(context.Context) (map[string]string, error) {
	registry := os.Getenv("KUBEWARDEN_REGISTRY")
	if registry == "" {
		return nil, errors.New("KUBEWARDEN_REGISTRY is empty; set it to the host:port of a registry that this machine and the cluster's Pods reach, " +
			"and KUBEWARDEN_REGISTRY_CA to the file of its certificate authority")
	}
	config, err := kubeconfig()
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"KUBECONFIG":             config,
		"KUBEWARDEN_REGISTRY":    registry,
		"KUBEWARDEN_REGISTRY_CA": os.Getenv("KUBEWARDEN_REGISTRY_CA"),
	}, nil
}

// runShown runs a command whose output is for the user.
func runShown(cmd *exec.Cmd, out io.Writer) error {
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(cmd.Path), cmd.Args[1], err)
	}
	return nil
}
