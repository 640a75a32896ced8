package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Containerd is the cluster's container runtime.
type Containerd struct {
	// Socket is where containerd answers.
	Socket string
}

// Import loads an archive that docker, buildah or WriteTarball made.
func (c Containerd) Import(ctx context.Context, file string) error {
	_, err := c.ctr(ctx, "images", "import", file)
	return err
}

// ImportProgram makes the image of a program and imports it, unless an image of that name
// is there already.
func (c Containerd) ImportProgram(ctx context.Context, program Program) error {
	present, err := c.ctr(ctx, "images", "list", "--quiet", "name=="+program.Image)
	if err != nil || strings.TrimSpace(present) == program.Image {
		return err
	}
	dir, err := os.MkdirTemp("", "cluster-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "image.tar")
	if err := program.WriteTarball(file); err != nil {
		return fmt.Errorf("make image %s: %w", program.Image, err)
	}
	return c.Import(ctx, file)
}

// ctr calls containerd's client in the namespace that kubelet uses.
func (c Containerd) ctr(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", c.Socket, "--namespace", "k8s.io"}, args...)...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return string(output), nil
}
