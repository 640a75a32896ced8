package assemble

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"
)

// channel is where versions of the operator appear.
const channel = "stable"

// labels say what a folder, or the image of it, holds; OLM's tools read them off both.
func (f Files) labels() map[string]string {
	const prefix = "operators.operatorframework.io."
	labels := map[string]string{
		prefix + "bundle.mediatype.v1":       "registry+v1",
		prefix + "bundle.manifests.v1":       manifestsDir + "/",
		prefix + "bundle.metadata.v1":        metadataDir + "/",
		prefix + "bundle.package.v1":         packageName,
		prefix + "bundle.channels.v1":        channel,
		prefix + "bundle.channel.default.v1": channel,
	}
	if f.has(scorecardDir) {
		labels[prefix+"test.mediatype.v1"] = "scorecard+v1"
		labels[prefix+"test.config.v1"] = scorecardDir + "/"
	}
	return labels
}

// addMetadata adds the labels, and the recipe of the bundle's image, whose context is the
// bundle's own folder.
func (f Files) addMetadata() error {
	labels := f.labels()
	content, err := yaml.Marshal(map[string]any{"annotations": labels})
	if err != nil {
		return fmt.Errorf("encode the bundle's annotations: %w", err)
	}
	f[filepath.Join(metadataDir, "annotations.yaml")] = content

	var recipe bytes.Buffer
	recipe.WriteString("FROM scratch\n")
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&recipe, "LABEL %s=%s\n", name, labels[name])
	}
	for _, dir := range []string{manifestsDir, metadataDir, scorecardDir} {
		if f.has(dir) {
			fmt.Fprintf(&recipe, "COPY %[1]s /%[1]s/\n", dir)
		}
	}
	f["Dockerfile"] = recipe.Bytes()
	return nil
}

// has says whether a folder of the bundle holds something.
func (f Files) has(dir string) bool {
	for name := range f {
		if filepath.Dir(name) == dir {
			return true
		}
	}
	return false
}
