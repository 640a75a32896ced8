package certs

import (
	"fmt"
	"sync"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// LateWatchConfig is what a LateWatch works with.
type LateWatchConfig struct {
	Manager    ctrl.Manager
	Controller controller.Controller
	// Handler makes the handler of one watch.
	Handler func() handler.EventHandler
	// Objects name the kinds.
	Objects []client.Object
}

// LateWatch watches kinds that the cluster may not know yet. A controller that watched
// them from the start would fail where cert-manager is not installed.
type LateWatch struct {
	config LateWatchConfig
	mutex  sync.Mutex
	// missing are the objects whose kinds are not watched yet.
	missing []client.Object
}

// NewLateWatch returns a LateWatch that watches nothing yet.
func NewLateWatch(config LateWatchConfig) *LateWatch {
	return &LateWatch{config: config, missing: config.Objects}
}

// Start watches every kind that the cluster knows by now. It is meant to be called in
// each reconcile, and does nothing once all kinds are watched.
func (w *LateWatch) Start() error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for len(w.missing) > 0 {
		object := w.missing[0]
		known, err := w.known(object)
		if err != nil || !known {
			return err
		}
		kind := source.Kind(w.config.Manager.GetCache(), object, w.config.Handler())
		if err := w.config.Controller.Watch(kind); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
		w.missing = w.missing[1:]
	}
	return nil
}

func (w *LateWatch) known(object client.Object) (bool, error) {
	gvk, err := apiutil.GVKForObject(object, w.config.Manager.GetScheme())
	if err != nil {
		return false, fmt.Errorf("find the kind of %T: %w", object, err)
	}
	_, err = w.config.Manager.GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if apimeta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up the kind %s: %w", gvk.GroupKind(), err)
	}
	return true, nil
}
