package addons

import "context"

// OLM is what the Operator Lifecycle Manager is installed from.
type OLM struct {
	// ImageOLM and ImageCatalog hold its two operators; they are in the cluster already.
	ImageOLM, ImageCatalog string
	// CRDs is the folder with its CustomResourceDefinitions.
	CRDs string
}

// InstallOLM applies the Operator Lifecycle Manager and waits until it is available.
func InstallOLM(ctx context.Context, kubectl Kubectl, config OLM) error {
	if _, err := kubectl.Run(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", config.CRDs); err != nil {
		return err
	}
	// Its configuration is an object of one of its own kinds.
	if err := kubectl.established(ctx, "crd/olmconfigs.operators.coreos.com"); err != nil {
		return err
	}
	if err := kubectl.apply(ctx, "olm.yaml", config); err != nil {
		return err
	}
	return kubectl.available(ctx, "olm", "olm-operator", "catalog-operator")
}

// RemoveOLM takes away what InstallOLM and ServeCatalog applied: the kinds first, and with
// them every subscription and version, while OLM is there to let go of them. An OLM that was
// installed by others is left alone.
func RemoveOLM(ctx context.Context, kubectl Kubectl, config OLM) error {
	const mark = "clusterrolebinding/kubewarden-cluster-olm"
	ours, err := kubectl.Run(ctx, "", "get", mark, "--ignore-not-found", "--output=name")
	if err != nil || ours == "" {
		return err
	}
	// What marks it as ours is last, so that a removal that was interrupted can be repeated.
	for _, what := range [][]string{{"-f", config.CRDs}, {"namespace/olm"}, {mark}} {
		if _, err := kubectl.Run(ctx, "", append([]string{"delete", "--ignore-not-found", "--timeout=120s"}, what...)...); err != nil {
			return err
		}
	}
	return nil
}

// Catalog is a catalog that is served inside the cluster.
type Catalog struct {
	// Image holds opm and the catalog's files; it is in the cluster already.
	Image string
	// Dir is where in the image the files are.
	Dir string
}

// CatalogAddress is where the catalog answers, for a CatalogSource.
const CatalogAddress = "kubewarden-catalog.olm.svc:50051"

// ServeCatalog has the cluster serve a catalog in the place of the one before, and waits
// until it answers.
func ServeCatalog(ctx context.Context, kubectl Kubectl, catalog Catalog) error {
	if err := kubectl.apply(ctx, "catalog.yaml", catalog); err != nil {
		return err
	}
	return kubectl.available(ctx, "olm", "kubewarden-catalog")
}
