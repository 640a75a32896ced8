package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Objects are stored anew by a patch that changes nothing, for which the right to patch them
// is granted elsewhere. Only kinds that ever had two versions have something to forget.
//
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions/status,resourceNames=policyservers.policies.kubewarden.io;clusteradmissionpolicies.policies.kubewarden.io;admissionpolicies.policies.kubewarden.io,verbs=patch

const (
	// settling is how long API servers get to store in the version that a changed definition
	// says. One that was told late would store in the old version after it was forgotten.
	settling = 10 * time.Second
	// pageSize is how many objects are read at a time.
	pageSize = 100
)

// Config is what a Reconciler works with.
type Config struct {
	// Client reads definitions from a cache, and writes.
	Client client.Client
	// Uncached reads the objects, of which only metadata is asked.
	Uncached client.Reader
	// Now is the clock.
	Now func() time.Time
}

// Reconciler watches the definitions of our kinds. It is not safe for concurrent reconciles.
type Reconciler struct {
	Config

	seen map[string]sighting // by the name of the definition
}

// sighting is when a generation of a definition was first seen.
type sighting struct {
	generation int64
	since      time.Time
}

// NewReconciler returns a Reconciler that has seen nothing.
func NewReconciler(config Config) *Reconciler {
	return &Reconciler{Config: config, seen: map[string]sighting{}}
}

// SetupWithManager has the manager run the reconciler for definitions with old versions.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager, options controller.Options) error {
	old := predicate.NewPredicateFuncs(func(object client.Object) bool {
		definition, ok := object.(*apiextensionsv1.CustomResourceDefinition)
		return ok && isOutdated(definition)
	})
	err := ctrl.NewControllerManagedBy(manager).
		Named("storage").
		For(&apiextensionsv1.CustomResourceDefinition{}, builder.WithPredicates(old)).
		WithOptions(options).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of stored versions: %w", err)
	}
	return nil
}

// Reconcile stores every object of a kind anew and then has its definition say so.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := r.Client.Get(ctx, request.NamespacedName, definition); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !isOutdated(definition) {
		return ctrl.Result{}, nil
	}
	if rest := r.unsettled(definition); rest > 0 {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	kind := storedKind(definition)
	count, err := r.storeAll(ctx, kind)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.forget(ctx, definition, kind.Version); err != nil {
		return ctrl.Result{}, err
	}
	ctrl.LoggerFrom(ctx).Info("Stored all objects in the current version",
		"kind", kind.Kind, "version", kind.Version, "objects", count, "before", definition.Status.StoredVersions)
	return ctrl.Result{}, nil
}

// isOutdated says whether a definition is of our kinds and names versions in which nothing is
// to be stored any more.
func isOutdated(definition *apiextensionsv1.CustomResourceDefinition) bool {
	if definition.DeletionTimestamp != nil || !strings.HasSuffix(definition.Name, "."+policiesv1.GroupVersion.Group) {
		return false
	}
	current := storedKind(definition).Version
	for _, version := range definition.Status.StoredVersions {
		if version != current {
			return true
		}
	}
	return false
}

// storedKind is the kind of a definition in the version in which objects are stored.
func storedKind(definition *apiextensionsv1.CustomResourceDefinition) schema.GroupVersionKind {
	kind := schema.GroupVersionKind{Group: definition.Spec.Group, Kind: definition.Spec.Names.Kind}
	for i := range definition.Spec.Versions {
		if definition.Spec.Versions[i].Storage {
			kind.Version = definition.Spec.Versions[i].Name
		}
	}
	return kind
}

// unsettled is how long API servers may still store in the version of before.
func (r *Reconciler) unsettled(definition *apiextensionsv1.CustomResourceDefinition) time.Duration {
	now := r.Now()
	seen, ok := r.seen[definition.Name]
	if !ok || seen.generation != definition.Generation {
		seen = sighting{definition.Generation, now}
		r.seen[definition.Name] = seen
	}
	return settling - now.Sub(seen.since)
}

// storeAll has every object of a kind stored anew, and gives their number. One that is refused
// does not keep the others from it; the errors are joined.
func (r *Reconciler) storeAll(ctx context.Context, kind schema.GroupVersionKind) (count int, failures error) {
	page := &metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	for {
		if err := r.Uncached.List(ctx, page, client.Limit(pageSize), client.Continue(page.Continue)); err != nil {
			return count, errors.Join(failures, fmt.Errorf("list %s: %w", kind.Kind, err))
		}
		for i := range page.Items {
			object := &page.Items[i]
			object.SetGroupVersionKind(kind)
			key := client.ObjectKeyFromObject(object)
			// The API server writes what is stored in another form than it would store it in.
			err := r.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte("{}")))
			if err != nil && !apierrors.IsNotFound(err) {
				failures = errors.Join(failures, fmt.Errorf("store %s %s in %s: %w", kind.Kind, key, kind.Version, err))
				continue
			}
			count++
		}
		if page.Continue == "" {
			return count, failures
		}
	}
}

// forget has a definition name one version alone, unless it has changed since it was read.
func (r *Reconciler) forget(ctx context.Context, definition *apiextensionsv1.CustomResourceDefinition, version string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": definition.ResourceVersion},
		"status":   map[string]any{"storedVersions": []string{version}},
	})
	if err != nil {
		return err
	}
	named := &apiextensionsv1.CustomResourceDefinition{}
	named.Name = definition.Name
	if err := r.Client.Status().Patch(ctx, named, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("have CustomResourceDefinition %s forget old versions: %w", definition.Name, err)
	}
	return nil
}
