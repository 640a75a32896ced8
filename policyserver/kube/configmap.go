package kube

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// ConfigMapWatch follows one ConfigMap. It needs the rights to get, list and watch that
// one by its name.
type ConfigMapWatch struct {
	Client          kubernetes.Interface
	Namespace, Name string
	// Changed gets the data when the ConfigMap is first seen and after every change. It
	// is called by one goroutine. A ConfigMap that is deleted tells nobody: what was
	// wanted last is served until something else is wanted.
	Changed func(data map[string]string)
	Logger  *slog.Logger
}

// Run follows the ConfigMap until ctx is done, over any failure of the API server.
func (w ConfigMapWatch) Run(ctx context.Context) {
	selector := fields.OneTermEqualSelector("metadata.name", w.Name)
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(w.Client.CoreV1().RESTClient(), "configmaps", w.Namespace, selector),
		ObjectType:    &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    w.changed,
			UpdateFunc: func(_, after any) { w.changed(after) },
			DeleteFunc: func(any) {
				w.Logger.WarnContext(ctx, "the configuration was deleted; what it wanted is still served",
					"namespace", w.Namespace, "config_map", w.Name)
			},
		},
	})
	controller.RunWithContext(ctx)
}

func (w ConfigMapWatch) changed(object any) {
	if configMap, is := object.(*corev1.ConfigMap); is {
		w.Changed(configMap.Data)
	}
}
