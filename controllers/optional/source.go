package optional

import (
	"context"
	"fmt"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// discoveryInterval is how often discovery is asked for a kind whose definition is
// established: the one follows the other within moments.
const discoveryInterval = 500 * time.Millisecond

// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=list;watch

// IsServed says whether the CustomResourceDefinition of that name exists, is established
// and is not being deleted.
func IsServed(ctx context.Context, reader client.Reader, definition string) (bool, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := reader.Get(ctx, types.NamespacedName{Name: definition}, crd); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("get CustomResourceDefinition %s: %w", definition, err)
	}
	return IsEstablished(crd), nil
}

// StripSchemas is a cache transform for CustomResourceDefinitions: whether they are
// established is all that is asked of them, and their schemas are megabytes.
func StripSchemas(object any) (any, error) {
	crd, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return object, nil
	}
	crd.ManagedFields = nil
	crd.Annotations = nil
	for i := range crd.Spec.Versions {
		crd.Spec.Versions[i].Schema = nil
		crd.Spec.Versions[i].AdditionalPrinterColumns = nil
	}
	return crd, nil
}

// Source feeds events of an optional kind to a reconciler.
type Source struct {
	// Cache is the manager's; it must cache CustomResourceDefinitions.
	Cache cache.Cache
	// Client knows the scheme and the REST mapping.
	Client client.Client
	// Object is an empty object of the kind.
	Object client.Object
	// Definition is the name of the kind's CustomResourceDefinition.
	Definition string
	// Handler turns an event of the kind into requests.
	Handler handler.EventHandler
	// Affected are the requests that have something to do when the kind comes or goes.
	Affected func(ctx context.Context) []reconcile.Request

	mutex   sync.Mutex
	served  bool
	watched bool
}

var _ source.Source = (*Source)(nil)

// queue is the queue of the reconciler.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// String names the source in logs.
func (s *Source) String() string { return "optional kind source: " + s.Definition }

// Start begins to follow the kind's definition. It returns at once.
func (s *Source) Start(ctx context.Context, queue queue) error {
	informer, err := s.Cache.GetInformer(ctx, &apiextensionsv1.CustomResourceDefinition{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch CustomResourceDefinitions: %w", err)
	}
	follow := func(object any) {
		if crd, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok && crd.Name == s.Definition {
			s.follow(ctx, queue, IsEstablished(crd))
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    follow,
		UpdateFunc: func(_, object any) { follow(object) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if crd, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok && crd.Name == s.Definition {
				s.follow(ctx, queue, false)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch CustomResourceDefinitions: %w", err)
	}
	return nil
}

// follow notes that the kind came or went. The watch outlives the definition: the cache
// asks for the kind in vain, less and less often, and finds it when it is back. To end it
// would gain nothing, since the next read of the kind begins it again, and then waits for
// it to succeed.
func (s *Source) follow(ctx context.Context, queue queue, served bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.served == served {
		return
	}
	s.served = served
	ctrl.LoggerFrom(ctx).Info("An optional kind came or went", "definition", s.Definition, "served", served)
	if served && !s.watched {
		s.watched = true
		go func() {
			if err := s.watch(ctx, queue); err != nil && ctx.Err() == nil {
				ctrl.LoggerFrom(ctx).Error(err, "Could not watch an optional kind", "definition", s.Definition)
			}
			s.wake(ctx, queue)
		}()
		return
	}
	go s.wake(ctx, queue)
}

// wake calls those who wait for the kind.
func (s *Source) wake(ctx context.Context, queue queue) {
	for _, request := range s.Affected(ctx) {
		queue.Add(request)
	}
}

// watch waits until discovery knows the kind, then feeds its events to the queue.
func (s *Source) watch(ctx context.Context, queue queue) error {
	gvk, err := apiutil.GVKForObject(s.Object, s.Client.Scheme())
	if err != nil {
		return fmt.Errorf("find the kind of %T: %w", s.Object, err)
	}
	known := func(context.Context) (bool, error) {
		_, err := s.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		return err == nil, nil
	}
	if err := wait.PollUntilContextCancel(ctx, discoveryInterval, true, known); err != nil {
		return fmt.Errorf("wait for discovery to know %s: %w", gvk.Kind, err)
	}
	kind := source.Kind(s.Cache, s.Object, s.Handler)
	if err := kind.Start(ctx, queue); err != nil {
		return err
	}
	return kind.WaitForSync(ctx)
}

// IsEstablished says whether the API server takes objects of the kind that is defined.
func IsEstablished(crd *apiextensionsv1.CustomResourceDefinition) bool {
	if crd.DeletionTimestamp != nil {
		return false
	}
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}
