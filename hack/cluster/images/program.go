package images

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Program is an image that holds one static program and nothing else.
type Program struct {
	// Image is the full name of the image, with a tag.
	Image string
	// Path is the program on this machine.
	Path string
	// Args follow the program in the image's entry point.
	Args []string
	// User is the numeric user the program runs as.
	User string
}

// WriteTarball writes the image in docker's archive format.
func (p Program) WriteTarball(file string) error {
	tag, err := name.NewTag(p.Image)
	if err != nil {
		return err
	}
	base := filepath.Base(p.Path)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return programLayer(p.Path, base) })
	if err != nil {
		return fmt.Errorf("make layer of %s: %w", p.Path, err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	image, err = mutate.ConfigFile(image, configOf(p, base, image))
	if err != nil {
		return err
	}
	return tarball.WriteToFile(file, tag, image)
}

func configOf(p Program, base string, image v1.Image) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		config = &v1.ConfigFile{}
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: append([]string{"/" + base}, p.Args...), User: p.User}
	return config
}

func programLayer(path, base string) (io.ReadCloser, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	if err := writer.WriteHeader(&tar.Header{Name: base, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	return io.NopCloser(&out), writer.Close()
}

// Containerd imports images into the cluster's container runtime.
type Containerd struct {
	// Socket is where containerd answers.
	Socket string
}

// Import loads a tarball that docker, buildah or WriteTarball made.
func (c Containerd) Import(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "ctr", "--address", c.Socket, "--namespace", "k8s.io", "images", "import", file)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import %s into containerd: %w: %s", file, err, output)
	}
	return nil
}

// ImportProgram makes the image of a program and imports it.
func (c Containerd) ImportProgram(ctx context.Context, program Program) error {
	dir, err := os.MkdirTemp("", "cluster-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "image.tar")
	if err := program.WriteTarball(file); err != nil {
		return err
	}
	return c.Import(ctx, file)
}
