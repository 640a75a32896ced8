// Package catalog makes a file-based catalog of bundles, from which OLM installs and
// upgrades.
//
// What belongs here: the package, its channel and the order of its versions. They are read
// off the bundles, so that a catalog cannot say what its bundles do not.
//
//	template  names the bundles' images: what a release is published from
//	catalog   holds the bundles themselves, rendered by opm: for a test cluster
//
// What never does: what is in a bundle (assemble).
//
// Where the data goes next: opm serves it, a CatalogSource names it.
package catalog
