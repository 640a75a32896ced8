//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// severalVersions are the definitions that have, or had, more than one version.
var severalVersions = []string{
	"policyservers.policies.kubewarden.io", "clusteradmissionpolicies.policies.kubewarden.io", "admissionpolicies.policies.kubewarden.io",
}

// TestObjectsOfOldVersionsAreStoredAnew has objects stored in v1alpha2, as upstream once did,
// of which the operator has nothing else to write. Once it was there the version can be taken
// out of the definitions, and nothing is lost.
func TestObjectsOfOldVersionsAreStoredAnew(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator)
	namespaced, server := namespacedPolicy("old", "old"), c.createServer(t, "old")
	c.create(t, namespaced)
	policies := []policiesv1.Policy{c.createPolicy(t, "old", "old"), c.createPolicy(t, "older", "old"), namespaced}
	idle := expected{policiesv1.ConditionReady, metav1.ConditionFalse, "NoInstallation"}
	within(t, patience, c.serverIs(server, idle))
	objects := append(make([]client.Object, 0, 1+len(policies)), server)
	for _, policy := range policies {
		within(t, patience, c.policyIs(policy, policiesv1.PolicyStatePending, idle))
		objects = append(objects, policy)
	}
	if err := c.StopOperator(); err != nil {
		t.Fatal(err)
	}
	for _, name := range severalVersions {
		c.storeIn(t, name, "v1alpha2")
	}
	for _, object := range objects {
		label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"example.com/stored":"before"}}}`))
		if err := c.admin.Patch(t.Context(), object, label); err != nil {
			t.Fatal(err)
		}
	}
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

// storeIn has objects of a kind stored in a version from now on, which discovery tells by
// another hash.
func (c *cluster) storeIn(t *testing.T, definition, version string) {
	t.Helper()
	before, err := c.storageHash(definition)
	if err != nil {
		t.Fatal(err)
	}
	changeDefinition(t, c, definition, func(definition *apiextensionsv1.CustomResourceDefinition) {
		for i := range definition.Spec.Versions {
			definition.Spec.Versions[i].Storage = definition.Spec.Versions[i].Name == version
		}
	})
	within(t, patience, func(context.Context) error {
		now, err := c.storageHash(definition)
		if err == nil && now == before {
			err = fmt.Errorf("the hash of %s is still %s", definition, now)
		}
		return err
	})
}

// storageHash tells in which version objects of a kind are stored.
func (c *cluster) storageHash(definition string) (string, error) {
	discovered, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return "", err
	}
	kinds, err := discovered.ServerResourcesForGroupVersion(policiesv1.GroupVersion.String())
	if err != nil {
		return "", err
	}
	for i := range kinds.APIResources {
		if kinds.APIResources[i].Name+"."+policiesv1.GroupVersion.Group == definition {
			return kinds.APIResources[i].StorageVersionHash, nil
		}
	}
	return "", fmt.Errorf("%s is not served", definition)
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
