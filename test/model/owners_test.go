//go:build integration

package model

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// checkOwners holds every object of the cluster, of whatever kind and wherever it is,
// against those that live.
func checkOwners(ctx context.Context, w *world) error {
	var all []metav1.PartialObjectMetadata
	for _, list := range w.listed {
		objects, err := w.list(ctx, list)
		if err != nil {
			return err
		}
		all = append(all, objects...)
	}
	return owned(all)
}

// owned wants every object that the operator made to have an owner that is one of all, and
// none to be deleted and stay.
func owned(all []metav1.PartialObjectMetadata) error {
	alive := map[types.UID]bool{}
	for i := range all {
		alive[all[i].UID] = true
	}
	for i := range all {
		object := &all[i]
		if object.DeletionTimestamp != nil {
			return fmt.Errorf("%s %s is deleted and stays, with finalizers %v", object.Kind, object.Name, object.Finalizers)
		}
		if _, ours := object.Labels["operator.kubewarden.io/installation"]; !ours || free(object) {
			continue
		}
		lives := false
		for _, reference := range object.OwnerReferences {
			lives = lives || alive[reference.UID]
		}
		if !lives {
			return fmt.Errorf("%s %s in namespace %q has no living owner: %v", object.Kind, object.Name, object.Namespace, object.OwnerReferences)
		}
	}
	return nil
}

// free says whether an object may be without an owner. Webhooks of policies are, since a
// namespaced policy cannot own them: that their policies live is checked with the policies.
// Kinds of reports outlive the installation, since all reports would go with them.
func free(object *metav1.PartialObjectMetadata) bool {
	switch object.Kind {
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
		return strings.HasPrefix(object.Name, "kw.")
	case "CustomResourceDefinition":
		return strings.HasSuffix(object.Name, "reports.wgpolicyk8s.io")
	default:
		return false
	}
}

func TestOwned(t *testing.T) {
	named := func(kind, name, owner string) metav1.PartialObjectMetadata {
		object := metav1.PartialObjectMetadata{}
		object.Kind, object.Name, object.UID = kind, name, types.UID(name)
		object.Labels = map[string]string{"operator.kubewarden.io/installation": "kubewarden"}
		if owner != "" {
			object.OwnerReferences = []metav1.OwnerReference{{Name: owner, UID: types.UID(owner)}}
		}
		return object
	}
	ofOthers, leaving := named("Secret", "theirs", ""), named("Secret", "leaving", "red")
	ofOthers.Labels, leaving.DeletionTimestamp = nil, &metav1.Time{}
	server := named("PolicyServer", "red", "red")
	for name, test := range map[string]struct {
		object metav1.PartialObjectMetadata
		right  bool
	}{
		"owned by what lives":              {named("Secret", "a", "red"), true},
		"owned by what is gone":            {named("Secret", "a", "blue"), false},
		"owned by nobody":                  {named("Secret", "a", ""), false},
		"of the whole cluster, and nobody": {named("ClusterRoleBinding", "a", ""), false},
		"of the whole cluster, of a ghost": {named("ClusterRoleBinding", "a", "blue"), false},
		"the webhook of a policy":          {named("ValidatingWebhookConfiguration", "kw.cap.p", ""), true},
		"another webhook":                  {named("ValidatingWebhookConfiguration", "kubewarden", ""), false},
		"a kind of reports":                {named("CustomResourceDefinition", "policyreports.wgpolicyk8s.io", ""), true},
		"another kind":                     {named("CustomResourceDefinition", "policyservers.policies.kubewarden.io", ""), false},
		"made by others":                   {ofOthers, true},
		"deleted, and there":               {leaving, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := owned([]metav1.PartialObjectMetadata{server, test.object}); (err == nil) != test.right {
				t.Errorf("got %v, want it right: %t", err, test.right)
			}
		})
	}
}
