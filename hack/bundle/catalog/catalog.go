package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"sigs.k8s.io/yaml"
)

// Schemas of a catalog's entries, from operator-registry's declcfg.
const (
	schemaPackage = "olm.package"
	schemaChannel = "olm.channel"
	schemaBundle  = "olm.bundle"
)

// packageEntry is what a catalog shows before anybody installs.
type packageEntry struct {
	Schema         string                  `json:"schema"`
	Name           string                  `json:"name"`
	DefaultChannel string                  `json:"defaultChannel"`
	Description    string                  `json:"description,omitempty"`
	Icon           *operatorsv1alpha1.Icon `json:"icon,omitempty"`
}

// channelEntry is the order in which versions are upgraded.
type channelEntry struct {
	Schema  string        `json:"schema"`
	Package string        `json:"package"`
	Name    string        `json:"name"`
	Entries []channelStep `json:"entries"`
}

// channelStep is a version, and those that it can take the place of.
type channelStep struct {
	Name      string `json:"name"`
	Replaces  string `json:"replaces,omitempty"`
	SkipRange string `json:"skipRange,omitempty"`
}

func (r *Releases) packageEntry() packageEntry {
	latest := r.latest()
	entry := packageEntry{Schema: schemaPackage, Name: r.name, DefaultChannel: r.channel, Description: latest.Spec.Description}
	if len(latest.Spec.Icon) > 0 {
		entry.Icon = &latest.Spec.Icon[0]
	}
	return entry
}

func (r *Releases) channelEntry() channelEntry {
	entry := channelEntry{Schema: schemaChannel, Package: r.name, Name: r.channel}
	for _, one := range r.bundles {
		entry.Entries = append(entry.Entries, channelStep{
			Name:      one.csv.Name,
			Replaces:  one.csv.Spec.Replaces,
			SkipRange: one.csv.Annotations[operatorsv1alpha1.SkipRangeAnnotationKey],
		})
	}
	return entry
}

// Write writes a catalog that holds the bundles themselves into a folder of its own, and
// has opm check it.
func (r *Releases) Write(ctx context.Context, dir, opm string) error {
	if err := emptyFolder(dir); err != nil {
		return err
	}
	var index bytes.Buffer
	for _, entry := range []any{r.packageEntry(), r.channelEntry()} {
		content, err := yaml.Marshal(entry)
		if err != nil {
			return fmt.Errorf("encode catalog: %w", err)
		}
		index.WriteString("---\n")
		index.Write(content)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.yaml"), index.Bytes(), 0o644); err != nil {
		return err
	}
	for _, one := range r.bundles {
		rendered, err := run(ctx, opm, "render", one.dir, "--output=yaml")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, one.csv.Name+".yaml"), rendered, 0o644); err != nil {
			return err
		}
	}
	_, err := run(ctx, opm, "validate", dir)
	return err
}

// emptyFolder makes the folder and takes the files of another catalog out of it.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range stale {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	output, err := exec.CommandContext(ctx, program, args...).Output() //nolint:gosec // the program is the user's choice
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		return nil, fmt.Errorf("%s %v: %w: %s", filepath.Base(program), args, err, exit.Stderr)
	}
	return output, err
}
