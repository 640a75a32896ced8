package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
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
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return programLayer(p.Path, base) },
		tarball.WithCompressionLevel(gzip.NoCompression), // it travels from one folder of the machine to another
	)
	if err != nil {
		return fmt.Errorf("make layer of %s: %w", p.Path, err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/" + base}, User: p.User}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(file, tag, image)
}

// programLayer is the program as the only file of a layer.
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
