package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
)

// places are the cluster and the namespaces that a scan is about: the one that is asked for, or
// all. Where namespaces cannot be listed, there is the cluster.
func (r *run) places(ctx context.Context, target Target) ([]place, error) {
	var places []place
	if target.Namespace == "" {
		places = append(places, place{})
	}
	var err error
	if !target.ClusterOnly {
		var namespaces []corev1.Namespace
		namespaces, err = r.listNamespaces(ctx, target)
		for i := range namespaces {
			name := namespaces[i].Name
			ignored := target.Namespace == "" && slices.Contains(r.config.IgnoreNamespaces, name)
			places = append(places, place{namespace: name, labels: namespaces[i].Labels, ignored: ignored})
		}
	}
	scanned := 0
	for _, at := range places {
		if !at.ignored {
			scanned++
		}
	}
	r.progress.expect(scanned)
	return places, err
}

// ignore counts what would be asked in a namespace that is left out, and deletes the reports of
// the time before it was: nothing keeps them true any more.
func (r *run) ignore(ctx context.Context, at place) error {
	kinds, unselected := r.plan.Namespace(at.namespace, at.labels)
	r.leaveOut(plan.ReasonNamespaceSelector, unselected)
	for _, kind := range kinds {
		r.leaveOut(plan.ReasonIgnoredNamespace, kind.Questions())
	}
	if r.config.DisableStore {
		return nil
	}
	session, err := r.config.Store.Open(ctx, at.namespace)
	if err != nil {
		return err
	}
	defer session.Close()
	none := func(schema.GroupKind) bool { return false }
	deleted, err := session.Prune(ctx, none)
	former, formerErr := session.PruneFormer(ctx, none)
	r.counts.add(func(s *Summary) { s.Deleted += deleted + former })
	return errors.Join(err, formerErr)
}

func (r *run) listNamespaces(ctx context.Context, target Target) ([]corev1.Namespace, error) {
	if target.Namespace != "" {
		namespace := corev1.Namespace{}
		if err := r.config.Client.Get(ctx, types.NamespacedName{Name: target.Namespace}, &namespace); err != nil {
			return nil, fmt.Errorf("get namespace %s: %w", target.Namespace, err)
		}
		return []corev1.Namespace{namespace}, nil
	}
	var namespaces []corev1.Namespace
	for token := ""; ; {
		list := &corev1.NamespaceList{}
		if err := r.config.Client.List(ctx, list, client.Limit(r.config.PageSize), client.Continue(token)); err != nil {
			return nil, fmt.Errorf("list namespaces: %w", err)
		}
		namespaces = append(namespaces, list.Items...)
		if token = list.Continue; token == "" {
			return namespaces, nil
		}
	}
}
