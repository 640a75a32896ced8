package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// cluster is one kind of cluster.
type cluster interface {
	Up(ctx context.Context) error
	Down(ctx context.Context) error
	// Status prints the state of every component and fails when one is not up.
	Status(ctx context.Context) error
	// Load makes an image archive available to the cluster's nodes.
	Load(ctx context.Context, image, archive string) error
	// Env is what a shell needs to use the cluster.
	Env(ctx context.Context) (map[string]string, error)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "cluster",
		Short: "A real single-node Kubernetes cluster for demos and end-to-end tests",
		Long: `A real single-node Kubernetes cluster for demos and end-to-end tests.

CLUSTER=local     (default) builds Kubernetes and runs it on this machine; needs root on Debian
CLUSTER=kind      a kind cluster; needs docker and kind
CLUSTER=existing  the cluster of the current kubeconfig`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		clusterCommand("up", "Bring the cluster up; does only what is missing", cluster.Up),
		clusterCommand("down", "Take the cluster down; leaves no process, mount, link, rule or file", cluster.Down),
		clusterCommand("status", "Show every component", cluster.Status),
		envCommand(), kubeconfigCommand(), assetsCommand(), imageCommand(), loadCommand(), registryServeCommand(), pauseCommand(),
	)
	return root
}

func clusterCommand(use, short string, do func(cluster, context.Context) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		target, err := selectCluster()
		if err != nil {
			return err
		}
		return do(target, cmd.Context())
	}}
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
			return "", fmt.Errorf("find the project's folder: none of the folders above the current one holds hack/cluster")
		}
		dir = parent
	}
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assets",
		Short: "Build kube-apiserver, etcd and kubectl; print their folder (KUBEBUILDER_ASSETS)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := newCache()
			if err != nil {
				return err
			}
			dir, err := cache.Assets(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
}

func registryServeCommand() *cobra.Command {
	var config registry.Config
	cmd := &cobra.Command{Use: "registry-serve", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return registry.Serve(cmd.Context(), config)
	}}
	cmd.Flags().StringVar(&config.Address, "address", "", "host:port to listen on")
	cmd.Flags().StringVar(&config.Dir, "dir", "", "folder of the blobs")
	cmd.Flags().StringVar(&config.CertFile, "cert", "", "certificate file")
	cmd.Flags().StringVar(&config.KeyFile, "key", "", "key file")
	return cmd
}

// pauseCommand is what the pause image runs: it keeps a Pod's namespaces until it is told
// to end. As process 1 of a Pod it has no children to wait for.
func pauseCommand() *cobra.Command {
	return &cobra.Command{Use: "pause", Hidden: true, Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		<-cmd.Context().Done()
	}}
}
