package policiestest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/build"
)

// Module is the annotated module of a policy, by the name of its folder.
func Module(t testing.TB, name string) []byte {
	t.Helper()
	module, err := load(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func load(ctx context.Context, name string) ([]byte, error) {
	root, err := build.Root(".")
	if err != nil {
		return nil, err
	}
	key, err := sourceHash(root)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(cacheDirectory(), name+"-"+key+".wasm")
	if module, err := os.ReadFile(file); err == nil {
		return module, nil
	}
	policy, err := build.Build(ctx, root, name)
	if err != nil {
		return nil, err
	}
	return policy.Module, keep(file, policy.Module)
}

func cacheDirectory() string {
	directory, err := os.UserCacheDir()
	if err != nil {
		directory = os.TempDir()
	}
	return filepath.Join(directory, "kubewarden-operator", "policies")
}

// sourceHash covers what decides about a module: the toolchain, and all sources below
// policies, of which there are few enough not to ask which policy needs which.
func sourceHash(root string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, build.Toolchain())
	err := filepath.WalkDir(filepath.Join(root, "policies"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fmt.Fprintln(hash, relative, len(content))
		hash.Write(content)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hash sources of policies: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:24], nil
}

// keep writes the file as a whole: another process may be reading or writing it.
func keep(file string, module []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("keep module: %w", err)
	}
	scratch, err := os.CreateTemp(filepath.Dir(file), "*.tmp")
	if err != nil {
		return fmt.Errorf("keep module: %w", err)
	}
	defer os.Remove(scratch.Name())
	if _, err := scratch.Write(module); err != nil {
		return fmt.Errorf("keep module: %w", err)
	}
	if err := scratch.Close(); err != nil {
		return fmt.Errorf("keep module: %w", err)
	}
	return os.Rename(scratch.Name(), file)
}
