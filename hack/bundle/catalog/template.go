package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"
)

// schemaTemplate is the schema of opm's basic templates.
const schemaTemplate = "olm.template.basic"

// template is a catalog before the bundles' images are rendered into it.
type template struct {
	Schema  string `json:"schema"`
	Entries []any  `json:"entries"`
}

// bundleEntry is a bundle that is to be rendered.
type bundleEntry struct {
	Schema string `json:"schema"`
	Image  string `json:"image"`
}

// history are the versions of a template that was written before.
type history struct {
	steps  []channelStep
	images []string
}

// WriteTemplate writes a template that names the bundles by their images: the given name,
// tagged with a v and the version. Versions that the file names already stay in it: they
// were released, and their bundles are not in the tree any more.
func (r *Releases) WriteTemplate(file, image string) error {
	released, err := readHistory(file)
	if err != nil {
		return err
	}
	channel := r.channelEntry()
	channel.Entries = append(slices.DeleteFunc(released.steps, func(step channelStep) bool {
		return slices.ContainsFunc(channel.Entries, func(own channelStep) bool { return own.Name == step.Name })
	}), channel.Entries...)

	var images []string
	for _, one := range r.bundles {
		images = append(images, image+":v"+one.csv.Spec.Version.String())
	}
	images = append(slices.DeleteFunc(released.images, func(old string) bool { return slices.Contains(images, old) }), images...)

	content := template{Schema: schemaTemplate, Entries: []any{r.packageEntry(), channel}}
	for _, one := range images {
		content.Entries = append(content.Entries, bundleEntry{Schema: schemaBundle, Image: one})
	}
	encoded, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode template of a catalog: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, encoded, 0o644)
}

func readHistory(file string) (history, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return history{}, nil
	}
	if err != nil {
		return history{}, err
	}
	var before struct {
		Entries []struct {
			Schema  string        `json:"schema"`
			Image   string        `json:"image"`
			Entries []channelStep `json:"entries"`
		} `json:"entries"`
	}
	if err := yaml.Unmarshal(content, &before); err != nil {
		return history{}, fmt.Errorf("decode template %s: %w", file, err)
	}
	var released history
	for _, entry := range before.Entries {
		switch entry.Schema {
		case schemaChannel:
			released.steps = append(released.steps, entry.Entries...)
		case schemaBundle:
			released.images = append(released.images, entry.Image)
		}
	}
	return released, nil
}
