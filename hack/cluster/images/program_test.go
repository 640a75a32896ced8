package images

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func writeProgram(t *testing.T, program Program) v1.Image {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := program.WriteTarball(archive); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestWriteTarball(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(path, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := Program{Image: "localhost/test/server:1", Path: path, User: "65532"}
	image := writeProgram(t, program)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{Entrypoint: []string{"/server"}, User: "65532"}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	wantFiles := map[string]string{"755 server": "a program"}
	if diff := cmp.Diff(wantFiles, filesOf(t, image)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	first, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := writeProgram(t, program).Digest(); err != nil || second != first {
		t.Errorf("the same program made image %s, then %s (%v)", first, second, err)
	}
}

func TestWriteTarballAddsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(path, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := Program{Image: "localhost/test/server:1", Path: path, Files: map[string][]byte{"data/two.yaml": []byte("two"), "data/one.yaml": []byte("one")}}
	want := map[string]string{"755 server": "a program", "644 data/one.yaml": "one", "644 data/two.yaml": "two"}
	if diff := cmp.Diff(want, filesOf(t, writeProgram(t, program))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// filesOf are the files of an image, named with their mode.
func filesOf(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	content := mutate.Extract(image)
	defer content.Close()
	reader := tar.NewReader(content)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprintf("%o %s", header.Mode, header.Name)] = string(data)
	}
}

func TestWriteTarballRefusesWhatIsNoImage(t *testing.T) {
	for name, program := range map[string]Program{
		"no such program": {Image: "localhost/test/server:1", Path: filepath.Join(t.TempDir(), "nothing")},
		"no such name":    {Image: "Not An Image", Path: "/bin/sh"},
	} {
		if err := program.WriteTarball(filepath.Join(t.TempDir(), "image.tar")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
