package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/open-policy-agent/opa/v1/version"
	"go.yaml.in/yaml/v3"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// modulePath is the Go module that the policies are part of.
const modulePath = "github.com/kubewarden/kubewarden-operator"

// AnnotationVersion is the annotation that holds a policy's version.
const AnnotationVersion = "io.kubewarden.policy.version"

// metadataFile is what makes a folder a policy.
const metadataFile = "metadata.yml"

// Policy is a policy that has been built.
type Policy struct {
	// Name is that of its folder.
	Name string
	// Version is what its metadata says, "0.1.0" for example.
	Version  string
	Metadata metadata.Metadata
	// Module is the annotated WebAssembly binary.
	Module []byte
}

// Root is the root of this Go module, looked for from a directory upwards.
func Root(from string) (string, error) {
	directory, err := filepath.Abs(from)
	if err != nil {
		return "", fmt.Errorf("find module root: %w", err)
	}
	moduleLine := regexp.MustCompile(`(?m)^module ` + regexp.QuoteMeta(modulePath) + `$`)
	for {
		content, err := os.ReadFile(filepath.Join(directory, "go.mod"))
		if err == nil && moduleLine.Match(content) {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", fmt.Errorf("find module root: no go.mod of %s above %s", modulePath, from)
		}
		directory = parent
	}
}

// Names are the names of all policies below a module root, sorted.
func Names(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "policies", "*", metadataFile))
	if err != nil {
		return nil, fmt.Errorf("list policies: %w", err)
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = filepath.Base(filepath.Dir(file))
	}
	return names, nil
}

// Build compiles and annotates one policy. The same sources and the same Toolchain make the
// same module.
func Build(ctx context.Context, root, name string) (Policy, error) {
	described, err := readMetadata(filepath.Join(root, "policies", name, metadataFile))
	if err != nil {
		return Policy{}, fmt.Errorf("build policy %s: %w", name, err)
	}
	compiled, err := compileFolder(ctx, filepath.Join(root, "policies", name), described.ExecutionMode)
	if err != nil {
		return Policy{}, fmt.Errorf("build policy %s: %w", name, err)
	}
	if described.ProtocolVersion == "" && described.ExecutionMode != metadata.ModeWaPC {
		// Upstream's tools want a version in every mode and write this one.
		described.ProtocolVersion = metadata.ProtocolUnknown
	}
	payload, err := json.Marshal(described)
	if err != nil {
		return Policy{}, fmt.Errorf("encode metadata of policy %s: %w", name, err)
	}
	annotated, err := wasm.SetCustomSection(compiled, metadata.Section, payload)
	if err != nil {
		return Policy{}, fmt.Errorf("annotate policy %s: %w", name, err)
	}
	return Policy{
		Name:     name,
		Version:  described.Annotations[AnnotationVersion],
		Metadata: described,
		Module:   annotated,
	}, nil
}

// readMetadata reads a metadata.yml and refuses what the format does not have.
func readMetadata(file string) (metadata.Metadata, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return metadata.Metadata{}, fmt.Errorf("read metadata: %w", err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		return metadata.Metadata{}, fmt.Errorf("decode %s: %w", file, err)
	}
	payload, err := json.Marshal(document)
	if err != nil {
		return metadata.Metadata{}, fmt.Errorf("decode %s: %w", file, err)
	}
	strict := json.NewDecoder(bytes.NewReader(payload))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&metadata.Metadata{}); err != nil {
		return metadata.Metadata{}, fmt.Errorf("decode %s: %w", file, err)
	}
	described, err := metadata.Decode(payload)
	if err != nil {
		return metadata.Metadata{}, fmt.Errorf("decode %s: %w", file, err)
	}
	if described.Annotations[AnnotationVersion] == "" {
		return metadata.Metadata{}, fmt.Errorf("decode %s: annotation %s: missing", file, AnnotationVersion)
	}
	return described, nil
}

// compileFolder makes a module out of a folder, in the language of its execution mode.
func compileFolder(ctx context.Context, folder string, mode metadata.ExecutionMode) ([]byte, error) {
	switch mode {
	case metadata.ModeOPA, metadata.ModeGatekeeper:
		return CompileRego(ctx, os.DirFS(folder), mode)
	case metadata.ModeWASI:
		return compileGo(ctx, folder)
	default:
		return compileGo(ctx, folder, reactorFlag)
	}
}

// Toolchain names what modules are compiled by.
func Toolchain() string { return runtime.Version() + " opa " + version.Version }
