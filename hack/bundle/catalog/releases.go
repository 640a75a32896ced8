package catalog

import (
	"errors"
	"fmt"

	"github.com/operator-framework/api/pkg/manifests"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
)

// Releases are the bundles of one package, oldest first.
type Releases struct {
	name    string
	channel string
	bundles []release
}

type release struct {
	dir string
	csv *operatorsv1alpha1.ClusterServiceVersion
}

// Load reads the bundles in the folders.
func Load(dirs []string) (*Releases, error) {
	if len(dirs) == 0 {
		return nil, errors.New("a catalog needs at least one bundle")
	}
	releases := &Releases{}
	for _, dir := range dirs {
		bundle, err := manifests.GetBundleFromDir(dir)
		if err != nil {
			return nil, fmt.Errorf("read the bundle in %s: %w", dir, err)
		}
		if releases.name != "" && bundle.Package != releases.name {
			return nil, fmt.Errorf("the bundle in %s is of package %s, the first is of %s", dir, bundle.Package, releases.name)
		}
		releases.name, releases.channel = bundle.Package, bundle.DefaultChannel
		releases.bundles = append(releases.bundles, release{dir: dir, csv: bundle.CSV})
	}
	return releases, nil
}

// latest is the release that a catalog shows.
func (r *Releases) latest() *operatorsv1alpha1.ClusterServiceVersion {
	return r.bundles[len(r.bundles)-1].csv
}
