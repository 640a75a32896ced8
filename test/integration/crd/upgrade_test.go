//go:build integration

package crd

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestStoredObjectsOutliveStricterRules stores objects that only upstream's CRDs allow: with
// ours installed over them, their status and finalizers must still be writable, or they
// could never be deleted. What is wrong in them may stay, but nothing wrong may be added.
func TestStoredObjectsOutliveStricterRules(t *testing.T) {
	const (
		otherRule  = `[{apiGroups: ["*"], apiVersions: [v1], resources: [pods], operations: [CREATE]}, {apiVersions: [v1], resources: [pods], operations: [CREATE]}]`
		ruleStored = `[{apiVersions: [v1], resources: [pods], operations: [CREATE]}]`
	)
	for name, tc := range map[string]struct {
		loose    looseSchema
		manifest string
		// wrong makes an object that only the loose schema takes.
		wrong []edit
		// worse makes another field wrong.
		worse  edit
		status string
	}{
		"a PolicyServer with a dot in its name": {
			loose:    looseSchema{crd: "policyservers.policies.kubewarden.io", without: "x-kubernetes-validations"},
			manifest: minimalPolicyServer,
			wrong:    []edit{with("metadata.name", "a.b")},
			worse:    with("spec.replicas", "-1"),
			status:   "{image: x}",
		},
		"a policy whose rule names no group": {
			loose:    looseSchema{crd: "clusteradmissionpolicies.policies.kubewarden.io", without: "properties.spec.properties.rules.items.required"},
			manifest: minimalPolicy,
			wrong:    []edit{with("spec.rules", ruleStored)},
			worse:    with("spec.rules", otherRule),
			status:   "{policyStatus: pending}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := func() *unstructured.Unstructured {
				return object(t, tc.manifest, append(tc.wrong, with("metadata.finalizers", "[kubewarden.io/finalizer]"))...)
			}
			stored := wrong()
			tc.loose.with(t, wrong, func() {
				if err := k8s.Create(t.Context(), stored); err != nil {
					t.Fatal(err)
				}
			})

			with("status", tc.status)(t, stored.Object)
			checkError(t, k8s.Status().Update(t.Context(), stored), "")
			worse := stored.DeepCopy()
			tc.worse(t, worse.Object)
			checkError(t, k8s.Update(t.Context(), worse, client.DryRunAll), "is invalid")
			remove(t, stored)
		})
	}
}

// looseSchema is the schema of a CRD without one of its fields.
type looseSchema struct {
	crd, without string
}

// with does something while the loose schema is in force. It waits until an object that is
// wrong is taken, and in the end until one is refused again.
func (l looseSchema) with(t *testing.T, wrong func() *unstructured.Unstructured, do func()) {
	t.Helper()
	strict := changeSchema(t, l.crd, func(schema map[string]any) {
		unstructured.RemoveNestedField(schema, strings.Split(l.without, ".")...)
	})
	defer func() {
		changeSchema(t, l.crd, func(schema map[string]any) {
			clear(schema)
			maps.Copy(schema, strict)
		})
		waitUntil(t, func() bool { return k8s.Create(t.Context(), renamed(wrong()), client.DryRunAll) != nil })
	}()
	waitUntil(t, func() bool { return k8s.Create(t.Context(), wrong(), client.DryRunAll) == nil })
	do()
}

// renamed is the object under another name of the same form.
func renamed(object *unstructured.Unstructured) *unstructured.Unstructured {
	object.SetName("x" + object.GetName())
	return object
}

// changeSchema changes the schema of a CRD's first version, which is the stored one, and
// returns a copy of what it was.
func changeSchema(t *testing.T, name string, change func(schema map[string]any)) (before map[string]any) {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := k8s.Get(t.Context(), client.ObjectKey{Name: name}, crd); err != nil {
		t.Fatal(err)
	}
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil || len(versions) == 0 {
		t.Fatalf("the CRD has no version: %v", err)
	}
	current, _ := versions[0].(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
	before = (&unstructured.Unstructured{Object: current}).DeepCopy().Object
	change(current)
	if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	return before
}

func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		t.Fatalf("wait until the changed schema is in force: %v", err)
	}
}
