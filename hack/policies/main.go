package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/kubewarden/kubewarden-operator/policies/build"
)

type config struct {
	out      string
	registry string
	ca       string
}

func main() {
	var c config
	flag.StringVar(&c.out, "out", "bin/policies", "directory that the modules are written to")
	flag.StringVar(&c.registry, "push", "", "registry to push to, as REGISTRY/policies/NAME:vVERSION")
	flag.StringVar(&c.ca, "ca", "", "PEM file of the authority that the registry's certificate is from; the system's by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, c, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config, out io.Writer) error {
	if c.ca != "" && c.registry == "" {
		return fmt.Errorf("--ca %s: it says nothing without --push", c.ca)
	}
	root, err := build.Root(".")
	if err != nil {
		return err
	}
	names, err := build.Names(root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return fmt.Errorf("make output directory: %w", err)
	}
	for _, name := range names {
		policy, err := build.Build(ctx, root, name)
		if err != nil {
			return err
		}
		file := filepath.Join(c.out, name+".wasm")
		if err := os.WriteFile(file, policy.Module, 0o644); err != nil {
			return fmt.Errorf("write module: %w", err)
		}
		fmt.Fprintf(out, "%s sha256:%x %s\n", name, sha256.Sum256(policy.Module), file)
		if c.registry == "" {
			continue
		}
		reference, err := push(ctx, c, policy)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s\n", name, reference)
	}
	return nil
}
