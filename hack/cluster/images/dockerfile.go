package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Builder builds the project's Dockerfile.
type Builder struct {
	// Source is the folder with the Dockerfile.
	Source string
	// Storage keeps buildah's layers between builds.
	Storage string
	// Args are build arguments, NAME=value.
	Args []string
}

// builderBase is the name of the image that the Go stage runs in where nothing can be
// pulled: a shell, and the machine's Go and certificates mounted into it.
const builderBase = "localhost/kubewarden-cluster/builder:1"

// Build builds the image under the given name and writes it to an archive file.
func (b Builder) Build(ctx context.Context, image, archive string) error {
	if dockerAnswers(ctx) {
		return b.docker(ctx, image, archive)
	}
	return b.buildah(ctx, image, archive)
}

func dockerAnswers(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "info").Run() == nil
}

func (b Builder) docker(ctx context.Context, image, archive string) error {
	args := []string{"build", "--tag", image}
	for _, arg := range b.Args {
		args = append(args, "--build-arg", arg)
	}
	if err := run(ctx, "docker", append(args, b.Source)...); err != nil {
		return err
	}
	return run(ctx, "docker", "save", "--output", archive, image)
}

// buildah builds in a chroot, which needs neither a daemon nor a registry. The machine's
// Go toolchain and caches are mounted, so that nothing is fetched or compiled twice.
func (b Builder) buildah(ctx context.Context, image, archive string) error {
	goroot, err := goEnv(ctx, "GOROOT")
	if err != nil {
		return err
	}
	modules, err := goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return err
	}
	cache, err := goEnv(ctx, "GOCACHE")
	if err != nil {
		return err
	}
	if err := b.ensureBuilderBase(ctx); err != nil {
		return err
	}
	args := []string{
		"bud", "--isolation", "chroot", "--network", "host", "--layers=false", "--pull=never", "--tag", image, "--format", "docker",
		"--volume", goroot + ":/usr/local/go:ro",
		"--volume", modules + ":/host/modules", "--volume", cache + ":/host/cache",
		"--volume", "/etc/ssl/certs:/etc/ssl/certs:ro",
		"--build-arg", "BUILDER_IMAGE=" + builderBase, "--build-arg", "BASE_IMAGE=scratch",
		"--build-arg", "GOMODCACHE=/host/modules", "--build-arg", "GOCACHE=/host/cache",
	}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOSUMDB"} {
		if value := os.Getenv(name); value != "" {
			args = append(args, "--build-arg", name+"="+value)
		}
	}
	for _, arg := range b.Args {
		args = append(args, "--build-arg", arg)
	}
	if err := b.runBuildah(ctx, append(args, b.Source)...); err != nil {
		return err
	}
	if err := os.Remove(archive); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return b.runBuildah(ctx, "push", image, "docker-archive:"+archive+":"+image)
}

// ensureBuilderBase makes the image of the Go stage: busybox as every program of a shell.
func (b Builder) ensureBuilderBase(ctx context.Context) error {
	if b.buildahCommand(ctx, "inspect", "--type", "image", builderBase).Run() == nil {
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
	defer os.RemoveAll(dir)
	content, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), content, 0o755); err != nil {
		return err
	}
	dockerfile := strings.Join([]string{
		"FROM scratch",
		"COPY busybox /bin/busybox",
		"ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local HOME=/root",
		`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
		`RUN ["/bin/busybox", "mkdir", "-p", "/tmp", "/root", "/usr/local/go", "/etc/ssl/certs", "/host/modules", "/host/cache"]`,
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	return b.runBuildah(ctx, "bud", "--isolation", "chroot", "--network", "host", "--tag", builderBase, dir)
}

func (b Builder) buildahCommand(ctx context.Context, args ...string) *exec.Cmd {
	storage := []string{"--root", filepath.Join(b.Storage, "root"), "--runroot", filepath.Join(b.Storage, "run"), "--storage-driver", "vfs"}
	return exec.CommandContext(ctx, "buildah", append(storage, args...)...)
}

func (b Builder) runBuildah(ctx context.Context, args ...string) error {
	return checked(b.buildahCommand(ctx, args...))
}

func goEnv(ctx context.Context, name string) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(output)), nil
}

func run(ctx context.Context, name string, args ...string) error {
	return checked(exec.CommandContext(ctx, name, args...))
}

func checked(cmd *exec.Cmd) error {
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return nil
}
