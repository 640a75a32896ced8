package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Some of the programs that are called are the administrator's, and not in every path.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin"); err != nil {
		return err
	}
	return rootCommand().ExecuteContext(ctx)
}

// cluster is one kind of cluster.
type cluster interface {
	Up(ctx context.Context) error
	Down(ctx context.Context) error
	// Status writes the state of every component and fails when one is not up.
	Status(ctx context.Context, out io.Writer) error
	// Load makes an image archive available to the cluster's nodes.
	Load(ctx context.Context, image, archive string) error
	// Kubectl is how the cluster is talked to as its administrator.
	Kubectl(ctx context.Context) (addons.Kubectl, error)
	// Env is what a shell needs to use the cluster. It fails when the cluster is not there.
	Env(ctx context.Context) (map[string]string, error)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "cluster",
		Short: "A real single-node Kubernetes cluster for demos and end-to-end tests",
		Long: `A real single-node Kubernetes cluster for demos and end-to-end tests.

CLUSTER=local     (default) builds Kubernetes and runs it on this machine; needs root on Debian
CLUSTER=kind      a kind cluster; needs docker, kind and kubectl on Linux
CLUSTER=existing  the cluster of the current kubeconfig`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		lifeCommand("up", "Bring the cluster up; does only what is missing", cluster.Up),
		lifeCommand("down", "Take the cluster down; leaves no process, mount, link, rule or file", cluster.Down),
		stopCommand(), startCommand(), statusCommand(), envCommand(), kubeconfigCommand(),
		buildCommand(), assetsCommand(), imageCommand(), loadCommand(),
		olmCommand(), olmRemoveCommand(), catalogCommand(), opmCommand(),
		registryServeCommand(),
	)
	return root
}

// selectCluster reads CLUSTER, the one setting of this program.
func selectCluster() (cluster, error) {
	switch kind := os.Getenv("CLUSTER"); kind {
	case "", "local":
		return newLocal()
	case "kind":
		return newKind()
	case "existing":
		return existing{}, nil
	default:
		return nil, fmt.Errorf("CLUSTER is %q; allowed are local, kind and existing", kind)
	}
}

func newCache() (*build.Cache, error) {
	dir, err := cacheDir()
	if err != nil {
		return nil, err
	}
	source, err := sourceDir()
	if err != nil {
		return nil, err
	}
	return &build.Cache{
		Dir:      filepath.Join(dir, "bin"),
		Modules:  filepath.Join(source, "hack", "cluster", "build"),
		Progress: newProgress(),
	}, nil
}

func newProgress() *progress.Printer { return progress.New(os.Stderr, time.Now) }

// cacheDir keeps what is expensive to make, outside of the tree and of the cluster's state.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "kubewarden-operator"), nil
}

// sourceDir is the root of the project: the nearest folder upwards with hack/cluster in it.
func sourceDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "hack", "cluster", "build", "kubernetes", "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the project's folder: none of the folders from the current one upwards holds hack/cluster")
		}
		dir = parent
	}
}
