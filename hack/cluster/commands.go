package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
)

func envCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: `Print what a shell needs to use the cluster: eval "$(cluster env)"`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := clusterEnv(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(values)) {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "export %s='%s'\n", name, values[name]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func kubeconfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the administrator's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := clusterEnv(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), values["KUBECONFIG"])
			return err
		},
	}
}

func clusterEnv(ctx context.Context) (map[string]string, error) {
	target, err := selectCluster()
	if err != nil {
		return nil, err
	}
	return target.Env(ctx)
}

func imageCommand() *cobra.Command {
	var buildArgs []string
	cmd := &cobra.Command{
		Use:   "image IMAGE",
		Short: "Build the project's Dockerfile with docker, or with buildah where no docker answers",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return buildImage(cmd.Context(), args[0], buildArgs)
		},
	}
	cmd.Flags().StringArrayVar(&buildArgs, "build-arg", nil, "build argument, NAME=value; may be repeated")
	return cmd
}

func buildImage(ctx context.Context, image string, buildArgs []string) error {
	if err := ensurePackages(ctx, packagesForImages); err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	source, err := sourceDir()
	if err != nil {
		return err
	}
	archive, err := archivePath(image)
	if err != nil {
		return err
	}
	builder := images.Builder{Source: source, Storage: filepath.Join(cache, "buildah"), Args: buildArgs}
	return newProgress().Step("build image "+image, func() error { return builder.Build(ctx, image, archive) })
}

// archivePath is where the archive of an image that was built is kept for loading.
func archivePath(image string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return filepath.Join(dir, strings.NewReplacer("/", "_", ":", "_").Replace(image)+".tar"), nil
}

func loadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "load IMAGE|ARCHIVE",
		Short: "Load an image that `image` built, or an archive file, into the cluster",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			image, archive := args[0], args[0]
			if info, err := os.Stat(args[0]); err != nil || info.IsDir() {
				if archive, err = archivePath(image); err != nil {
					return err
				}
				if _, err := os.Stat(archive); err != nil {
					return fmt.Errorf("load %s: it is neither a file nor an image that `cluster image` built", image)
				}
			}
			target, err := selectCluster()
			if err != nil {
				return err
			}
			return newProgress().Step("load "+image, func() error { return target.Load(cmd.Context(), image, archive) })
		},
	}
}
