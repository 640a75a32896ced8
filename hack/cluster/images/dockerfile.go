package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/lock"
)

// Builder builds the project's Dockerfile.
type Builder struct {
	// Source is the folder with the Dockerfile.
	Source string
	// Storage is what buildah keeps between builds.
	Storage string
	// Args are build arguments, NAME=value.
	Args []string
}

// passedOn are the settings of the machine's Go tool that say where modules come from and
// how they are checked. They are build arguments of the Dockerfile.
var passedOn = []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOFLAGS"}

// Build builds the image under the given name and writes it to an archive file.
func (b Builder) Build(ctx context.Context, image, archive string) error {
	settings, err := goEnv(ctx, slices.Concat(passedOn, []string{"GOROOT", "GOMODCACHE", "GOCACHE"}))
	if err != nil {
		return err
	}
	if DockerAnswers(ctx) {
		return b.docker(ctx, image, archive, settings)
	}
	return b.buildah(ctx, image, archive, settings)
}

// DockerAnswers says whether there is a docker with a daemon.
func DockerAnswers(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "info").Run() == nil
}

func (b Builder) docker(ctx context.Context, image, archive string, settings map[string]string) error {
	args := slices.Concat([]string{"build", "--tag", image}, b.buildArgs(settings), []string{b.Source})
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1") // the Dockerfile has cache mounts
	if err := checked(cmd); err != nil {
		return err
	}
	return checked(exec.CommandContext(ctx, "docker", "save", "--output", archive, image))
}

// buildArgs are the options of docker and buildah alike that pass on build arguments.
func (b Builder) buildArgs(settings map[string]string) []string {
	var options []string
	for _, name := range passedOn {
		if value := settings[name]; value != "" {
			options = append(options, "--build-arg", name+"="+value)
		}
	}
	for _, arg := range b.Args {
		options = append(options, "--build-arg", arg)
	}
	return options
}

// buildah builds in a chroot, which needs neither a daemon nor a registry. The machine's
// Go toolchain and caches are mounted, so that nothing is fetched or compiled twice.
func (b Builder) buildah(ctx context.Context, image, archive string, settings map[string]string) error {
	release, err := lock.Folder(ctx, b.Storage, nil)
	if err != nil {
		return err
	}
	defer release()
	store, err := b.openStore(ctx)
	if err != nil {
		return err
	}
	if err := store.ensureBuilderBase(ctx); err != nil {
		return err
	}
	args := slices.Concat([]string{
		"bud", "--isolation=chroot", "--network=host", "--layers=false", "--pull=never", "--format=docker", "--tag=" + image,
		"--volume=" + settings["GOROOT"] + ":/usr/local/go:ro",
		"--volume=" + settings["GOMODCACHE"] + ":/host/modules",
		"--volume=" + settings["GOCACHE"] + ":/host/cache",
		"--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
		"--build-arg=TARGETOS=linux", "--build-arg=TARGETARCH=" + runtime.GOARCH, // which docker sets by itself
		"--build-arg=BUILDER_IMAGE=" + builderBase, "--build-arg=BASE_IMAGE=scratch",
		"--build-arg=GOMODCACHE=/host/modules", "--build-arg=GOCACHE=/host/cache",
	}, b.buildArgs(settings), []string{b.Source})
	if err := store.run(ctx, args...); err != nil {
		return err
	}
	if err := os.Remove(archive); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := store.run(ctx, "push", "--quiet", image, "docker-archive:"+archive+":"+image); err != nil {
		return err
	}
	return store.run(ctx, "rmi", image) // the archive is what is kept
}

// goEnv is the machine's settings of the Go tool, wherever they come from.
func goEnv(ctx context.Context, names []string) (map[string]string, error) {
	output, err := exec.CommandContext(ctx, "go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	values := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(output), "\n"), "\n") {
		if i < len(names) {
			values[names[i]] = line
		}
	}
	return values, nil
}

// checked runs a command. The error leaves out its arguments: a build argument may hold
// what is nobody else's business.
func checked(cmd *exec.Cmd) error {
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, output)
	}
	return nil
}
