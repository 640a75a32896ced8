package report

import (
	"context"
	"errors"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// former is a kind of reports that was chosen once and of which there are some left. Each of
// them goes after the report that replaces it was written, so that at no time an object has
// none, and a scan of one namespace leaves those of others alone.
type former struct {
	family     family
	namespaced bool
}

// FindFormer looks whether there are reports of ours of the kind that was not chosen. For a
// Session to delete them it is to be called first; it must not run beside other calls.
func (s *Store) FindFormer(ctx context.Context) error {
	s.former = nil
	for _, kind := range Kinds() {
		other, err := familyOf(kind)
		if err != nil {
			return err
		}
		if other == s.family {
			continue
		}
		for _, namespace := range []string{"", anyNamespace} {
			found, err := s.anyOf(ctx, other, namespace)
			if err != nil {
				return err
			}
			if found {
				s.former = append(s.former, former{family: other, namespaced: namespace != ""})
			}
		}
	}
	return nil
}

// anyOf says whether there are reports of a kind; a kind that is not served has none.
func (s *Store) anyOf(ctx context.Context, other family, namespace string) (bool, error) {
	list := other.list(namespace)
	err := s.client.List(ctx, list, client.Limit(1), ours())
	if apimeta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for reports of %s: %w", other.groupVersion(), err)
	}
	return apimeta.LenList(list) > 0, nil
}

// PruneFormer deletes our reports of the former kind in the place of the session, but for
// those about a kind for which keep says true, as in Prune. A report whose replacement could
// not be written stays. It says how many it deleted.
func (s *Session) PruneFormer(ctx context.Context, keep func(schema.GroupKind) bool) (int, error) {
	deleted := 0
	var errs []error
	for _, f := range s.store.former {
		if f.namespaced != (s.namespace != "") {
			continue
		}
		n, err := s.pruneFormer(ctx, f.family, keep)
		deleted += n
		errs = append(errs, err)
	}
	return deleted, errors.Join(errs...)
}

// pruneFormer deletes page by page: what is deleted does not move what comes after it.
func (s *Session) pruneFormer(ctx context.Context, other family, keep func(schema.GroupKind) bool) (int, error) {
	deleted := 0
	var errs []error
	for token := ""; ; {
		list := other.list(s.namespace)
		if err := s.store.client.List(ctx, list, client.InNamespace(s.namespace), ours(), client.Limit(pageSize), client.Continue(token)); err != nil {
			return deleted, errors.Join(errors.Join(errs...), fmt.Errorf("list the reports of %s in %s: %w", other.groupVersion(), place(s.namespace), err))
		}
		err := apimeta.EachListItem(list, func(object runtime.Object) error {
			was, err := s.deleteFormer(ctx, other, object, keep)
			if was {
				deleted++
			}
			errs = append(errs, err)
			return nil
		})
		if token = list.GetContinue(); token == "" || err != nil {
			return deleted, errors.Join(errors.Join(errs...), err)
		}
	}
}

func (s *Session) deleteFormer(ctx context.Context, other family, object runtime.Object, keep func(schema.GroupKind) bool) (bool, error) {
	report, is := object.(client.Object)
	if !is {
		return false, fmt.Errorf("read a report: %T is not an object of the API", object)
	}
	c, err := other.read(report)
	if err != nil {
		return false, err
	}
	if keep(kindOf(c.Scope)) || s.failed(report.GetName()) {
		return false, nil
	}
	return s.store.delete(ctx, report)
}
