package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
func (e existing) Status(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "kubectl", "get", "nodes", "-o", "wide")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// Load implements cluster: how images reach somebody else's nodes is theirs to say.
func (existing) Load(_ context.Context, image, archive string) error {
	return fmt.Errorf("push %s (archive %s) to a registry that the cluster's nodes can pull from, and set IMG to its name there", image, archive)
}

// Env implements cluster: the registry of the policies must be named by the user.
func (existing) Env(context.Context) (map[string]string, error) {
	registry := os.Getenv("KUBEWARDEN_REGISTRY")
	if registry == "" {
		return nil, errors.New("set KUBEWARDEN_REGISTRY (host:port, and KUBEWARDEN_REGISTRY_CA for its CA file) to a registry that this machine and the cluster's Pods reach")
	}
	return map[string]string{
		"KUBECONFIG":             os.Getenv("KUBECONFIG"),
		"KUBEWARDEN_REGISTRY":    registry,
		"KUBEWARDEN_REGISTRY_CA": os.Getenv("KUBEWARDEN_REGISTRY_CA"),
	}, nil
}
