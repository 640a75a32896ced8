package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/kubewarden/kubewarden-operator/hack/bundle/assemble"
	"github.com/kubewarden/kubewarden-operator/hack/bundle/catalog"
	"github.com/kubewarden/kubewarden-operator/hack/bundle/validate"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return rootCommand().ExecuteContext(ctx)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{Use: "bundle", Short: "Make and check what OLM installs", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(generateCommand(), validateCommand(), catalogCommand())
	return root
}

func generateCommand() *cobra.Command {
	var release assemble.Release
	var samples, output string
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the bundle of what kustomize renders from config/manifests, read from standard input",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := assemble.Input{Release: release}
			var err error
			if in.Objects, err = assemble.Decode(cmd.InOrStdin()); err != nil {
				return fmt.Errorf("read what was rendered: %w", err)
			}
			if in.Samples, err = assemble.ReadSamples(samples); err != nil {
				return err
			}
			files, err := assemble.Bundle(in)
			if err != nil {
				return err
			}
			return files.Write(output)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&release.Version, "version", "", "version of the operator, without a v")
	flags.StringVar(&release.Image, "image", "", "image of the operator; what was rendered names one by default")
	flags.StringVar(&release.Replaces, "replaces", "", "version that this one is the next of; none for the first")
	flags.StringVar(&samples, "samples", "config/samples", "folder with an example of each kind")
	flags.StringVar(&output, "output", "bundle", "folder of the bundle; files in it that are not part of it are removed")
	if err := cmd.MarkFlagRequired("version"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate BUNDLE...",
		Short: "Run OLM's validators and the project's own rules over bundles; a warning is a failure",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var failed []error
			for _, dir := range args {
				if err := validateBundle(cmd.OutOrStdout(), dir); err != nil {
					failed = append(failed, err)
				}
			}
			return errors.Join(failed...)
		},
	}
}

func validateBundle(out io.Writer, dir string) error {
	report, err := validate.Bundle(dir)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(out, report); err != nil {
		return err
	}
	if count := len(report.Findings); count > 0 {
		return fmt.Errorf("validate %s: %d findings", dir, count)
	}
	return nil
}

func catalogCommand() *cobra.Command {
	var opm, output, image string
	cmd := &cobra.Command{
		Use:   "catalog BUNDLE...",
		Short: "Write a file-based catalog of bundles, oldest first",
		Long: `Write a file-based catalog of bundles, oldest first.

With --opm the catalog holds the bundles themselves and can be served as it is. With --image
it is a template that names their images, for "opm alpha render-template basic".`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			releases, err := catalog.Load(args)
			if err != nil {
				return err
			}
			if image != "" {
				return releases.WriteTemplate(output, image)
			}
			return releases.Write(cmd.Context(), output, opm)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opm, "opm", "", "the program opm")
	flags.StringVar(&image, "image", "", "name of the bundles' images, without a tag")
	flags.StringVar(&output, "output", "", "folder of the catalog, or file of the template")
	cmd.MarkFlagsOneRequired("opm", "image")
	cmd.MarkFlagsMutuallyExclusive("opm", "image")
	if err := cmd.MarkFlagRequired("output"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}
