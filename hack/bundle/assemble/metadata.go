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
var labels = map[string]string{
	"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
	"operators.operatorframework.io.bundle.manifests.v1":       manifestsDir + "/",
	"operators.operatorframework.io.bundle.metadata.v1":        metadataDir + "/",
	"operators.operatorframework.io.bundle.package.v1":         packageName,
	"operators.operatorframework.io.bundle.channels.v1":        channel,
	"operators.operatorframework.io.bundle.channel.default.v1": channel,
}

// addMetadata adds the labels, and the recipe of the bundle's image, whose context is the
// bundle's own folder.
func (f Files) addMetadata() error {
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
	fmt.Fprintf(&recipe, "COPY %[1]s /%[1]s/\nCOPY %[2]s /%[2]s/\n", manifestsDir, metadataDir)
	f["Dockerfile"] = recipe.Bytes()
	return nil
}
