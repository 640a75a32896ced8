package reports

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// The groups of the report kinds.
const (
	// GroupPolicyReports is that of PolicyReport and ClusterPolicyReport.
	GroupPolicyReports = "wgpolicyk8s.io"
	// GroupOpenReports is that of Report and ClusterReport.
	GroupOpenReports = "openreports.io"
)

//go:embed *.yaml
var files embed.FS

// Definitions are those of a group, by name. The caller owns them.
func Definitions(group string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	names, err := fs.Glob(files, group+"_*.yaml")
	if err != nil {
		return nil, fmt.Errorf("find the definitions of group %q: %w", group, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("group %q has no report kinds; those that do are %s and %s", group, GroupPolicyReports, GroupOpenReports)
	}
	definitions := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(names))
	for _, name := range names {
		definition, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("read definition %s: %w", name, err)
		}
		definitions = append(definitions, definition)
	}
	return definitions, nil
}

func read(name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	content, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(content, definition); err != nil {
		return nil, err
	}
	return definition, nil
}
