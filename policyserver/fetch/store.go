package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// store keeps modules on disk by their digest, in the layout of an OCI image directory:
// <dir>/blobs/sha256/<hex>; their content is checked whenever it is read. Beside them it
// keeps the evidence that modules were verified by: <dir>/evidence/<hex>.json.
type store struct{ dir string }

func (s store) path(digest string) string {
	return filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// get gives the module of a digest. A file whose content has another digest is removed.
func (s store) get(digest string) ([]byte, error) {
	path := s.path(digest)
	module, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if got := digestOf(module); got != digest {
		return nil, fmt.Errorf("stored module has digest %s and is removed: %w", got, os.Remove(path))
	}
	return module, nil
}

func (s store) put(module []byte) error {
	path := s.path(digestOf(module))
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(module)) {
		return nil
	}
	return s.write(path, module)
}

// write makes a file that is complete from the moment it has its name.
func (s store) write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".incoming-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // nothing is there once the file has its name
	if _, err := file.Write(content); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func digestOf(module []byte) string {
	sum := sha256.Sum256(module)
	return "sha256:" + hex.EncodeToString(sum[:])
}
