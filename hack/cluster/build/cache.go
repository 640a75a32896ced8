package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/lock"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// Cache builds binaries once and finds them again.
type Cache struct {
	// Dir holds the binaries, one folder for each key.
	Dir string
	// Modules is the folder that holds the Go modules named by Binary.Module.
	Modules string
	// Progress is told what is built and how long it took.
	Progress *progress.Printer
}

// Path builds the binary unless the cache has it, and returns where it is. Two processes
// that want the same binary build it once.
func (c *Cache) Path(ctx context.Context, binary Binary) (string, error) {
	key, err := c.key(ctx, binary)
	if err != nil {
		return "", fmt.Errorf("compute cache key of %s: %w", binary.Name, err)
	}
	path := filepath.Join(c.Dir, key, binary.Name)
	if isFile(path) {
		return path, nil
	}
	title := fmt.Sprintf("build %s (once; %s)", binary.Name, binary.Hint)
	err = c.Progress.Step(title, func() error {
		release, err := lock.Folder(ctx, filepath.Dir(path), func() { c.Progress.Say("     another process builds it; waiting") })
		if err != nil {
			return err
		}
		defer release()
		if isFile(path) {
			return nil
		}
		return c.compile(ctx, binary, path)
	})
	return path, err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// compile writes the binary beside its place and renames it, so that a build that was
// interrupted is never taken for a finished one. The caller holds the binary's lock.
func (c *Cache) compile(ctx context.Context, binary Binary, path string) error {
	unfinished, err := filepath.Glob(path + ".unfinished-*")
	if err != nil {
		return err
	}
	for _, file := range unfinished {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	temporary := fmt.Sprintf("%s.unfinished-%d", path, os.Getpid())
	cmd := exec.CommandContext(ctx, "go", slices.Concat(buildArgs(binary), []string{"-o", temporary, binary.Package})...)
	cmd.Dir = c.moduleDir(binary.Module)
	cmd.Env = buildEnv()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", binary.Package, err, output)
	}
	return os.Rename(temporary, path)
}

// buildEnv is the environment of every call of the Go tool: what would change a binary
// without changing its key is set, not inherited.
func buildEnv() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
}

func (c *Cache) moduleDir(module string) string { return filepath.Join(c.Modules, module) }

func buildArgs(binary Binary) []string {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", binary.LDFlags}
	if binary.Tags != "" {
		args = append(args, "-tags", binary.Tags)
	}
	return args
}

// key is a hash of what determines a binary: the toolchain and its target, the flags, and
// every file of the module that pins it.
func (c *Cache) key(ctx context.Context, binary Binary) (string, error) {
	hash := sha256.New()
	for _, args := range [][]string{{"version"}, {"env", "GOOS", "GOARCH", "GOAMD64", "GOEXPERIMENT"}} {
		output, err := c.goTool(ctx, binary.Module, args...)
		if err != nil {
			return "", err
		}
		hash.Write(output)
	}
	if _, err := fmt.Fprintln(hash, binary.Name, binary.Package, buildArgs(binary)); err != nil {
		return "", err
	}
	if err := hashFolder(hash, c.moduleDir(binary.Module)); err != nil {
		return "", err
	}
	return binary.Name + "-" + hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// goTool is what a Go command says about one of the build modules.
func (c *Cache) goTool(ctx context.Context, module string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = c.moduleDir(module)
	cmd.Env = buildEnv()
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return output, nil
}

func hashFolder(hash io.Writer, folder string) error {
	root := os.DirFS(folder)
	return fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		return err
	})
}

// Assets is a folder with the programs that envtest starts.
func (c *Cache) Assets(ctx context.Context) (string, error) {
	var paths []string
	for _, binary := range []Binary{APIServer, Etcd, Kubectl} {
		path, err := c.Path(ctx, binary)
		if err != nil {
			return "", err
		}
		paths = append(paths, path)
	}
	sum := sha256.Sum256([]byte(strings.Join(paths, "\n")))
	dir := filepath.Join(c.Dir, "assets-"+hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	for _, path := range paths {
		err := os.Symlink(path, filepath.Join(dir, filepath.Base(path)))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return dir, nil
}

// ModuleDir is where the Go tool keeps the source of a module that one of the build
// modules requires; it is downloaded if need be.
func (c *Cache) ModuleDir(ctx context.Context, buildModule, module string) (string, error) {
	if _, err := c.goTool(ctx, buildModule, "mod", "download", module); err != nil {
		return "", err
	}
	output, err := c.goTool(ctx, buildModule, "list", "-m", "-f", "{{.Dir}}", module)
	return strings.TrimSpace(string(output)), err
}
