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
		listed: make(map[string]listed, len(packages)), done: map[string]*types.Package{"unsafe": types.Unsafe},
	}
	for _, p := range packages {
		c.listed[p.ImportPath] = p
	}
	asked := 0
	for _, p := range packages {
		if p.asked() {
			asked++
			_, _ = c.check(p.ImportPath) // what is wrong is noted
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

// asked says whether the package, or its tests, are to be checked. It is not about the program
// that go test writes.
func (p listed) asked() bool {
	return (!p.DepOnly || p.ForTest != "") && !strings.HasSuffix(p.ImportPath, ".test")
}

// list lists packages and all that they import.
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

// checker checks packages, and before them what they import.
type checker struct {
	target
	files  *token.FileSet
	sizes  types.Sizes
	listed map[string]listed
	done   map[string]*types.Package // nil: it is not there
	wrong  []string
}

// check checks a package. Of one that is only imported the insides of functions do not matter.
// The error says that there is none.
func (c *checker) check(path string) (*types.Package, error) {
	known, seen := c.done[path]
	p, is := c.listed[path]
	switch {
	case known != nil:
		return known, nil
	case seen, !is, path == c.without:
		return nil, fmt.Errorf("package %s was not found", path)
	case p.Error != nil:
		c.done[path] = nil
		c.wrong = append(c.wrong, p.Error.Err)
		return nil, fmt.Errorf("package %s: %s", path, p.Error.Err)
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
	name, _, _ := strings.Cut(path, " ")
	config := types.Config{
		IgnoreFuncBodies: !p.asked(),
		Sizes:            c.sizes,
		Importer:         imports{c, p.ImportMap},
		Error: func(err error) {
			if p.asked() && !c.expected(err.Error()) {
				c.wrong = append(c.wrong, err.Error())
			}
		},
	}
	checked, _ := config.Check(name, c.files, sources, nil) // Error was told
	c.done[path] = checked
	return checked, nil
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
	return i.checker.check(path)
}
