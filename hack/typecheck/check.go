package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// target is what is checked for which system.
type target struct {
	dir, os, arch, tags string
	without             string // an import path
}

// listed is what `go list` says of a package. A package's tests are packages of their own,
// whose import path ends in " [path.test]".
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string // from imports in the sources to import paths in the list
	ForTest    string
	DepOnly    bool // it is imported and was not asked for
	Error      *struct{ Err string }
}

// check checks packages and their tests. The error has a line for each thing that is wrong.
func check(ctx context.Context, t target, patterns []string) error {
	if types.SizesFor("gc", t.arch) == nil {
		return fmt.Errorf("--arch %s: not a processor that Go compiles for", t.arch)
	}
	packages, err := list(ctx, t, patterns)
	if err != nil {
		return err
	}
	c := checker{
		target: t, files: token.NewFileSet(), sizes: types.SizesFor("gc", t.arch),
		done: map[string]*types.Package{"unsafe": types.Unsafe},
	}
	asked := 0
	for _, p := range packages {
		if c.check(p) {
			asked++
		}
	}
	if asked == 0 {
		return fmt.Errorf("no packages match %q", patterns)
	}
	slices.Sort(c.wrong) // a file is checked once as it is and once with tests
	c.wrong = slices.Compact(c.wrong)
	if len(c.wrong) > 0 {
		return errors.New(strings.Join(c.wrong, "\n"))
	}
	return nil
}

// list lists packages, each behind all that it imports.
func list(ctx context.Context, t target, patterns []string) ([]listed, error) {
	args := slices.Concat([]string{
		"list", "-e", "-deps", "-test", "-tags=" + t.tags, "-json=ImportPath,Dir,GoFiles,ImportMap,ForTest,DepOnly,Error", "--",
	}, patterns)
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // what is listed is the user's choice
	command.Dir = t.dir
	command.Env = append(os.Environ(), "GOOS="+t.os, "GOARCH="+t.arch, "CGO_ENABLED=0")
	if t.without != "" {
		command.Env = append(command.Env, "GOPROXY=off") // or it would be downloaded
	}
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, complaint.Bytes())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var next listed
		if err := decoder.Decode(&next); err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		packages = append(packages, next)
	}
	return packages, nil
}

// checker checks packages, one after the other.
type checker struct {
	target
	files *token.FileSet
	sizes types.Sizes
	done  map[string]*types.Package
	wrong []string
}

// check checks a package and says whether it was asked for. Of what is only imported the
// insides of functions do not matter.
func (c *checker) check(p listed) bool {
	asked := !p.DepOnly || p.ForTest != ""
	switch {
	case p.ImportPath == "unsafe", p.ImportPath == c.without:
		return false
	case strings.HasSuffix(p.ImportPath, ".test"): // the program that go test writes
		return false
	case p.Error != nil:
		c.wrong = append(c.wrong, p.Error.Err)
		return asked
	}
	var sources []*ast.File
	for _, name := range p.GoFiles {
		source, err := parser.ParseFile(c.files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			c.wrong = append(c.wrong, err.Error())
			continue
		}
		sources = append(sources, source)
	}
	path, _, _ := strings.Cut(p.ImportPath, " ")
	config := types.Config{
		IgnoreFuncBodies: !asked,
		Sizes:            c.sizes,
		Importer:         imports{c, p.ImportMap},
		Error: func(err error) {
			if asked && !c.expected(err.Error()) {
				c.wrong = append(c.wrong, err.Error())
			}
		},
	}
	c.done[p.ImportPath], _ = config.Check(path, c.files, sources, nil) // Error was told
	return asked
}

// expected says whether an error is that a package is not there which is not looked for.
func (c *checker) expected(text string) bool {
	return c.without != "" && strings.Contains(text, "could not import "+c.without+" ")
}

// imports are those of one package.
type imports struct {
	checker *checker
	paths   map[string]string
}

// Import is that of types.Importer. A package that is not there is one that has everything,
// of no known type.
func (i imports) Import(path string) (*types.Package, error) {
	if listed, is := i.paths[path]; is {
		path = listed
	}
	if p := i.checker.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s was not found", path)
}
