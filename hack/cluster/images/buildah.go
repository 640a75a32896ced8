package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// builderBase is the name of the image that the Go stage runs in where nothing can be
// pulled: a shell. The machine's Go and certificates are mounted into it.
const builderBase = "localhost/kubewarden-cluster/builder:1"

// store is a storage of buildah.
type store struct{ root, driver string }

// openStore picks the storage driver: overlay where the kernel lets it, else plain copies.
// What a build that was killed left there is removed.
func (b Builder) openStore(ctx context.Context) (store, error) {
	var failures []error
	for _, driver := range []string{"overlay", "vfs"} {
		candidate := store{root: filepath.Join(b.Storage, driver), driver: driver}
		if err := candidate.prepare(); err != nil {
			return store{}, err
		}
		err := candidate.run(ctx, "rm", "--all")
		if err == nil {
			return candidate, nil
		}
		failures = append(failures, err)
	}
	return store{}, fmt.Errorf("open a storage for buildah in %s: %w", b.Storage, errors.Join(failures...))
}

// prepare makes the folders of the storage, and settings that keep buildah from making
// folders for networks in /etc: its containers are on the machine's own.
func (s store) prepare() error {
	if err := os.MkdirAll(s.path("tmp"), 0o700); err != nil {
		return err
	}
	settings := fmt.Sprintf("[network]\nnetwork_config_dir = %q\n", s.path("networks"))
	return os.WriteFile(s.path("containers.conf"), []byte(settings), 0o600)
}

func (s store) path(name string) string { return filepath.Join(s.root, name) }

// ensureBuilderBase makes the image of the Go stage: busybox as every program of a shell.
func (s store) ensureBuilderBase(ctx context.Context) error {
	if s.command(ctx, "inspect", "--type", "image", builderBase).Run() == nil {
		return nil
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("find busybox (Debian: busybox-static): %w", err)
	}
	dir, err := os.MkdirTemp("", "cluster-builder-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	content, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), content, 0o600); err != nil {
		return err
	}
	dockerfile := strings.Join([]string{
		"FROM scratch",
		"COPY --chmod=755 busybox /bin/busybox",
		"ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local HOME=/root",
		`RUN ["/bin/busybox", "mkdir", "-p", "/tmp", "/root", "/usr/local/go", "/etc/ssl/certs", "/host/modules", "/host/cache"]`,
		`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return err
	}
	return s.run(ctx, "bud", "--isolation=chroot", "--network=host", "--layers=false", "--tag="+builderBase, dir)
}

func (s store) command(ctx context.Context, args ...string) *exec.Cmd {
	global := []string{"--root=" + s.path("root"), "--runroot=" + s.path("run"), "--storage-driver=" + s.driver}
	cmd := exec.CommandContext(ctx, "buildah", slices.Concat(global, args)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+s.path("tmp"), "CONTAINERS_CONF="+s.path("containers.conf"))
	return cmd
}

func (s store) run(ctx context.Context, args ...string) error {
	return checked(s.command(ctx, args...))
}
