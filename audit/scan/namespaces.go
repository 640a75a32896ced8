package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
)

// namespaces scans the one namespace that is asked for, or all that are not ignored.
func (r *run) namespaces(ctx context.Context, target Target) error {
	namespaces, err := r.listNamespaces(ctx, target)
	if err != nil {
		return err
	}
	isIgnored := func(namespace corev1.Namespace) bool {
		return target.Namespace == "" && slices.Contains(r.config.IgnoreNamespaces, namespace.Name)
	}
	scanned := 0
	for i := range namespaces {
		if !isIgnored(namespaces[i]) {
			scanned++
		}
	}
	r.progress.expect(scanned, true)
	var (
		mu   sync.Mutex
		errs []error
		work errgroup.Group
	)
	work.SetLimit(r.config.ParallelNamespaces)
	for i := range namespaces {
		name, labels := namespaces[i].Name, namespaces[i].Labels
		scan := r.pass
		if isIgnored(namespaces[i]) {
			scan = r.ignore
		}
		work.Go(func() error {
			err := scan(ctx, name, labels)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			return nil
		})
	}
	return errors.Join(work.Wait(), errors.Join(errs...))
}

// ignore counts what would be asked in a namespace that is left out, and deletes the reports of
// the time before it was: nothing keeps them true any more.
func (r *run) ignore(ctx context.Context, namespace string, labels map[string]string) error {
	kinds, unselected := r.plan.Namespace(namespace, labels)
	r.leaveOut(plan.ReasonNamespaceSelector, unselected)
	for _, kind := range kinds {
		r.leaveOut(plan.ReasonIgnoredNamespace, kind.Questions())
	}
	if r.config.DisableStore {
		return nil
	}
	session, err := r.config.Store.Open(ctx, namespace)
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
