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

	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/lock"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/registry"
)

// lifeCommand is a command that changes what runs; one of them works at a time.
func lifeCommand(use, short string, do func(cluster, context.Context) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		target, err := selectCluster()
		if err != nil {
			return err
		}
		dir, err := cacheDir()
		if err != nil {
			return err
		}
		release, err := lock.Folder(cmd.Context(), dir, func() { newProgress().Say("Waiting for another up or down to end") })
		if err != nil {
			return err
		}
		defer release()
		return do(target, cmd.Context())
	}}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Show every component", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		target, err := selectCluster()
		if err != nil {
			return err
		}
		return target.Status(cmd.Context(), cmd.OutOrStdout())
	}}
}

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
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s\n", name, shellQuote(values[name])); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// shellQuote writes a value so that a shell takes it as it is.
func shellQuote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
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

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build [BINARY...]",
		Short: "Compile binaries that the cache does not hold; without names, all that a local cluster is made of",
		RunE: func(cmd *cobra.Command, args []string) error {
			cache, err := newCache()
			if err != nil {
				return err
			}
			binaries, err := build.Named(args)
			if err != nil {
				return err
			}
			for _, binary := range binaries {
				if _, err := cache.Path(cmd.Context(), binary); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assets",
		Short: "Compile kube-apiserver, etcd and kubectl; print their folder (KUBEBUILDER_ASSETS)",
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

func opmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "opm",
		Short: "Compile opm, which renders, checks and serves catalogs; print its path",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := newCache()
			if err != nil {
				return err
			}
			path, err := cache.Path(cmd.Context(), build.OPM)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
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
	printer := newProgress()
	if !images.DockerAnswers(ctx) {
		if err := ensurePackages(ctx, packagesForImages, printer); err != nil {
			return err
		}
	}
	storage, err := imageStorage()
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
	builder := images.Builder{Source: source, Storage: storage, Args: buildArgs}
	return printer.Step("build image "+image, func() error { return builder.Build(ctx, image, archive) })
}

// imageStorage is where buildah keeps its images and containers.
func imageStorage() (string, error) {
	cache, err := cacheDir()
	return filepath.Join(cache, "buildah"), err
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
			if info, err := os.Stat(args[0]); err != nil || !info.Mode().IsRegular() {
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
