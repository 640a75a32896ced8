package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/addons"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/build"
	"github.com/kubewarden/kubewarden-operator/hack/cluster/images"
)

// catalogDir is where catalogs are in images, by the habit of opm's own.
const catalogDir = "configs"

func olmCommand() *cobra.Command {
	return lifeCommand("olm", "Install the Operator Lifecycle Manager into the cluster", func(target cluster, ctx context.Context) error {
		return installOLM(ctx, target)
	})
}

func installOLM(ctx context.Context, target cluster) error {
	cache, err := newCache()
	if err != nil {
		return err
	}
	manager, err := loadProgram(ctx, target, cache, build.OLM)
	if err != nil {
		return err
	}
	catalog, err := loadProgram(ctx, target, cache, build.Catalog)
	if err != nil {
		return err
	}
	config := addons.OLM{ImageOLM: manager, ImageCatalog: catalog}
	if config.CRDs, err = definitionsOLM(ctx, cache); err != nil {
		return err
	}
	kubectl, err := target.Kubectl(ctx)
	if err != nil {
		return err
	}
	return cache.Progress.Step("install the Operator Lifecycle Manager", func() error { return addons.InstallOLM(ctx, kubectl, config) })
}

// definitionsOLM is the folder with the CustomResourceDefinitions of OLM.
func definitionsOLM(ctx context.Context, cache *build.Cache) (string, error) {
	source, err := cache.ModuleDir(ctx, build.OLM.Module, "github.com/operator-framework/api")
	return filepath.Join(source, "crds"), err
}

func olmRemoveCommand() *cobra.Command {
	return lifeCommand("olm-remove", "Remove the Operator Lifecycle Manager that `olm` installed", func(target cluster, ctx context.Context) error {
		return removeOLM(ctx, target)
	})
}

func removeOLM(ctx context.Context, target cluster) error {
	cache, err := newCache()
	if err != nil {
		return err
	}
	definitions, err := definitionsOLM(ctx, cache)
	if err != nil {
		return err
	}
	kubectl, err := target.Kubectl(ctx)
	if err != nil {
		return err
	}
	return cache.Progress.Step("remove the Operator Lifecycle Manager", func() error {
		return addons.RemoveOLM(ctx, kubectl, addons.OLM{CRDs: definitions})
	})
}

func catalogCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "catalog FOLDER",
		Short: "Serve a file-based catalog in the cluster, by opm; print its address",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := selectCluster()
			if err != nil {
				return err
			}
			if err := serveCatalog(cmd.Context(), target, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), addons.CatalogAddress)
			return err
		},
	}
}

func serveCatalog(ctx context.Context, target cluster, dir string) error {
	cache, err := newCache()
	if err != nil {
		return err
	}
	opm, err := cache.Path(ctx, build.OPM)
	if err != nil {
		return err
	}
	files, err := readFolder(dir, catalogDir)
	if err != nil {
		return fmt.Errorf("read catalog %s: %w", dir, err)
	}
	program := images.Program{Image: imageOf(opm) + "-" + digestOf(files), Path: opm, User: programUser, Files: files}
	if err := loadImage(ctx, target, program); err != nil {
		return err
	}
	kubectl, err := target.Kubectl(ctx)
	if err != nil {
		return err
	}
	return cache.Progress.Step("serve the catalog "+dir, func() error {
		return addons.ServeCatalog(ctx, kubectl, addons.Catalog{Image: program.Image, Dir: "/" + catalogDir})
	})
}

// readFolder reads the files of a folder, and names them as files of another.
func readFolder(dir, as string) (map[string][]byte, error) {
	files := map[string][]byte{}
	root := os.DirFS(dir)
	return files, fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path.Join(as, name)], err = fs.ReadFile(root, name)
		return err
	})
}

// digestOf is short and changes with the files.
func digestOf(files map[string][]byte) string {
	// fmt sorts the keys of a map.
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", files))
	return hex.EncodeToString(sum[:6])
}

// loadProgram builds a program and loads an image of it into the cluster.
func loadProgram(ctx context.Context, target cluster, cache *build.Cache, binary build.Binary) (string, error) {
	file, err := cache.Path(ctx, binary)
	if err != nil {
		return "", err
	}
	program := images.Program{Image: imageOf(file), Path: file, User: programUser}
	return program.Image, loadImage(ctx, target, program)
}

func loadImage(ctx context.Context, target cluster, program images.Program) error {
	dir, err := os.MkdirTemp("", "cluster-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	archive := filepath.Join(dir, "image.tar")
	if err := program.WriteTarball(archive); err != nil {
		return fmt.Errorf("make image %s: %w", program.Image, err)
	}
	return target.Load(ctx, program.Image, archive)
}
