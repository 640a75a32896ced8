package assemble

import (
	"fmt"
	"path/filepath"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
)

// packageName is the operator's name in a catalog.
const packageName = "kubewarden-operator"

// Bundle makes the files of a bundle.
func Bundle(in Input) (Files, error) {
	parts, err := sortOut(in.Objects)
	if err != nil {
		return nil, err
	}
	csv, err := serviceVersion(parts, in)
	if err != nil {
		return nil, err
	}
	files := Files{}
	if err := files.addServiceVersion(csv); err != nil {
		return nil, err
	}
	for _, crd := range parts.definitions {
		name := fmt.Sprintf("%s_%s.yaml", crd.Spec.Group, crd.Spec.Names.Plural)
		if err := files.add(name, crd.manifest); err != nil {
			return nil, err
		}
	}
	for _, object := range parts.manifests {
		if err := files.addManifest(object); err != nil {
			return nil, err
		}
	}
	if parts.scorecard != nil {
		if err := files.addObject(filepath.Join(scorecardDir, "config.yaml"), parts.scorecard.Object); err != nil {
			return nil, err
		}
	}
	return files, files.addMetadata()
}

func (f Files) addServiceVersion(csv *operatorsv1alpha1.ClusterServiceVersion) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(csv)
	if err != nil {
		return fmt.Errorf("encode ClusterServiceVersion %s: %w", csv.Name, err)
	}
	return f.add(packageName+".clusterserviceversion.yaml", object)
}
