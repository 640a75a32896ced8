package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Program is an image that holds one static program, and files for it to read if need be.
type Program struct {
	// Image is the full name of the image, with a tag.
	Image string
	// Path is the program on this machine.
	Path string
	// User is the numeric user the program runs as.
	User string
	// Files are further files: their content by their path in the image.
	Files map[string][]byte
}

// WriteTarball writes the image in docker's archive format.
func (p Program) WriteTarball(file string) error {
	tag, err := name.NewTag(p.Image)
	if err != nil {
		return err
	}
	base := filepath.Base(p.Path)
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return p.layer(base) },
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

// layer holds the program, named base, and its files.
func (p Program) layer(base string) (io.ReadCloser, error) {
	program, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	if err := addFile(writer, &tar.Header{Name: base, Mode: 0o755}, program); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		if err := addFile(writer, &tar.Header{Name: name, Mode: 0o644}, p.Files[name]); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(&out), writer.Close()
}

func addFile(writer *tar.Writer, header *tar.Header, content []byte) error {
	header.Typeflag, header.Size = tar.TypeReg, int64(len(content))
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}
