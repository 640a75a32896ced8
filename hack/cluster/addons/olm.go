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
	if _, err := kubectl.Run(ctx, "", "wait", "--for=condition=Established", "crd/olmconfigs.operators.coreos.com", "--timeout=60s"); err != nil {
		return err
	}
	if err := kubectl.apply(ctx, "olm.yaml", config); err != nil {
		return err
	}
	return kubectl.available(ctx, "olm-operator", "catalog-operator")
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
	return kubectl.available(ctx, "kubewarden-catalog")
}

// available waits for Deployments of the namespace of OLM.
func (k Kubectl) available(ctx context.Context, deployments ...string) error {
	for _, name := range deployments {
		if _, err := k.Run(ctx, "", "--namespace=olm", "rollout", "status", "deployment/"+name, "--timeout=180s"); err != nil {
			return err
		}
	}
	return nil
}
