//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// severalVersions are the definitions that have, or had, more than one version.
var severalVersions = []string{
	"policyservers.policies.kubewarden.io", "clusteradmissionpolicies.policies.kubewarden.io", "admissionpolicies.policies.kubewarden.io",
}

// TestObjectsOfOldVersionsAreStoredAnew has objects stored in v1alpha2, as upstream once did.
// Once the operator was there the version can be taken out of the definitions, and nothing is
// lost.
func TestObjectsOfOldVersionsAreStoredAnew(t *testing.T) {
	c := ownCluster(t)
	for _, name := range severalVersions {
		c.storeIn(t, name, "v1alpha2")
	}
	namespaced := namespacedPolicy("old", "old")
	c.create(t, namespaced)
	objects := []client.Object{c.createServer(t, "old"), c.createPolicy(t, "old", "old"), c.createPolicy(t, "older", "old"), namespaced}
	for _, name := range severalVersions {
		c.storeIn(t, name, "v1")
		if err := c.storesOnly("v1", name)(t.Context()); err == nil {
			t.Fatalf("%s has nothing to forget", name)
		}
	}
	if err := c.StartOperator(); err != nil {
		t.Fatal(err)
	}
	for _, name := range severalVersions {
		within(t, patience, c.storesOnly("v1", name))
	}
	if err := c.StopOperator(); err != nil {
		t.Fatal(err)
	}
	for _, name := range severalVersions {
		changeDefinition(t, c, name, func(definition *apiextensionsv1.CustomResourceDefinition) {
			definition.Spec.Versions = slices.DeleteFunc(definition.Spec.Versions, func(version apiextensionsv1.CustomResourceDefinitionVersion) bool {
				return version.Name == "v1alpha2"
			})
		})
	}
	// An object that is still stored in a version that does not exist could not be read.
	for _, object := range objects {
		within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, object) })
	}
}

// storeIn has objects of a kind stored in a version from now on.
func (c *cluster) storeIn(t *testing.T, definition, version string) {
	t.Helper()
	changeDefinition(t, c, definition, func(definition *apiextensionsv1.CustomResourceDefinition) {
		for i := range definition.Spec.Versions {
			definition.Spec.Versions[i].Storage = definition.Spec.Versions[i].Name == version
		}
	})
}

func changeDefinition(t *testing.T, c *cluster, name string, edit func(*apiextensionsv1.CustomResourceDefinition)) {
	t.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{}
	definition.Name = name
	change(t, c, definition, edit)
}

// rememberOldVersions has definitions say that objects may be stored in an old version, and
// waits until that is forgotten.
func (c *cluster) rememberOldVersions(t *testing.T) {
	t.Helper()
	for _, name := range severalVersions {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		definition.Name = name
		patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"storedVersions":["v1alpha2","v1"]}}`))
		if err := c.admin.Status().Patch(t.Context(), definition, patch); err != nil {
			t.Fatal(err)
		}
		within(t, unhurried, c.storesOnly("v1", name))
	}
}

// storesOnly complains unless objects of a kind are known to be stored in that version alone.
func (c *cluster) storesOnly(version, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := c.admin.Get(ctx, client.ObjectKey{Name: name}, definition); err != nil {
			return err
		}
		if stored := definition.Status.StoredVersions; len(stored) != 1 || stored[0] != version {
			return fmt.Errorf("%s stores %v, want %s alone", name, stored, version)
		}
		return nil
	}
}
