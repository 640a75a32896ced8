package report

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RemoveLegacy deletes our wgpolicyk8s.io reports where the store writes openreports.io
// ones, so that every object has one report; as upstream does when the kind is changed. It
// does nothing for a store of wgpolicyk8s.io, or where there are none.
func (s *Store) RemoveLegacy(ctx context.Context) error {
	legacy := wgpolicy{}
	if s.family == family(legacy) {
		return nil
	}
	for _, kind := range []string{"", anyNamespace} {
		found, err := s.anyOf(ctx, legacy, kind)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if err := s.deleteAll(ctx, legacy, kind); err != nil {
			return err
		}
	}
	return nil
}

// anyNamespace chooses the namespaced kind of a family where no one namespace is meant.
const anyNamespace = "*"

func (s *Store) anyOf(ctx context.Context, legacy family, kind string) (bool, error) {
	list := legacy.list(kind)
	err := s.client.List(ctx, list, client.Limit(1), ours())
	if apimeta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for reports of %s: %w", legacy.groupVersion(), err)
	}
	return apimeta.LenList(list) > 0, nil
}

// deleteAll goes from namespace to namespace: the API has no deletion of a collection over
// all of them.
func (s *Store) deleteAll(ctx context.Context, legacy family, kind string) error {
	namespaces := []string{""}
	if kind != "" {
		list := &corev1.NamespaceList{}
		if err := s.client.List(ctx, list); err != nil {
			return fmt.Errorf("list namespaces: %w", err)
		}
		namespaces = nil
		for i := range list.Items {
			namespaces = append(namespaces, list.Items[i].Name)
		}
	}
	var errs []error
	for _, namespace := range namespaces {
		err := s.client.DeleteAllOf(ctx, legacy.empty(namespace), client.InNamespace(namespace), ours())
		if err != nil {
			errs = append(errs, fmt.Errorf("delete the reports of %s in %s: %w", legacy.groupVersion(), place(namespace), err))
		}
	}
	return errors.Join(errs...)
}
