package report

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// formerReport is one of openreports.io, where a store of wgpolicyk8s.io is used.
func formerReport(namespace, name, kind string, labels map[string]string) *v1alpha1.Report {
	return &v1alpha1.Report{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Scope:      &corev1.ObjectReference{APIVersion: "v1", Kind: kind},
	}
}

// failures are what an API server refuses.
type failures struct {
	create, delete func() error
	// list fails the listing of reports of the former kind in the namespace.
	list error
}

func (f failures) funcs(t *testing.T) interceptor.Funcs {
	t.Helper()
	allow := func() error { return nil }
	for _, refuse := range []*func() error{&f.create, &f.delete} {
		if *refuse == nil {
			*refuse = allow
		}
	}
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if err := f.create(); err != nil {
				return err
			}
			return c.Create(ctx, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			applied := &client.ListOptions{}
			applied.ApplyOptions(options)
			if _, is := list.(*v1alpha1.ReportList); is && f.list != nil && applied.Namespace != "" {
				return f.list
			}
			return c.List(ctx, list, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			checkPreconditions(t, options)
			if err := f.delete(); err != nil {
				return err
			}
			return c.Delete(ctx, object)
		},
		DeleteAllOf: func(context.Context, client.WithWatch, client.Object, ...client.DeleteAllOfOption) error {
			t.Error("a collection is deleted: nobody saw what is in it")
			return nil
		},
	}
}

func TestReportsOfTheFormerKindGoOneByOne(t *testing.T) {
	mine := map[string]string{LabelManagedBy: managedBy}
	before := []client.Object{
		formerReport("team-a", "of-a-service", "Service", mine),
		formerReport("team-a", "of-a-secret", "Secret", mine),
		formerReport("team-a", string(pod().UID), "Pod", mine),
		formerReport("team-a", "of-others", "Service", map[string]string{LabelManagedBy: "kyverno"}),
		formerReport("team-b", "elsewhere", "Service", mine),
	}
	all := []string{string(pod().UID), "elsewhere", "of-a-secret", "of-a-service", "of-others"}
	failure := func(err error) func() error { return func() error { return err } }
	cases := map[string]struct {
		failures
		want    []string
		deleted int
		wantErr bool
	}{
		"all goes well":                    {want: []string{"elsewhere", "of-a-secret", "of-others"}, deleted: 2},
		"the new report cannot be written": {failures: failures{create: failure(errors.New("too large"))}, want: []string{string(pod().UID), "elsewhere", "of-a-secret", "of-others"}, deleted: 1},
		"somebody wrote them":              {failures: failures{delete: failure(apierrors.NewConflict(reportResource, "x", errors.New("changed")))}, want: all},
		"somebody deleted them":            {failures: failures{delete: failure(apierrors.NewNotFound(reportResource, "x"))}, want: all},
		"they may not be deleted":          {failures: failures{delete: failure(apierrors.NewForbidden(reportResource, "x", errors.New("no right")))}, want: all, wantErr: true},
		"one of them may not be deleted":   {failures: failures{delete: once(errors.New("out of order"))}, want: []string{string(pod().UID), "elsewhere", "of-a-secret", "of-others"}, deleted: 1, wantErr: true},
		"they cannot be listed":            {failures: failures{list: errors.New("out of order")}, want: all, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := failingStore(t, tc.funcs(t), before...)
			if err := s.FindFormer(t.Context()); err != nil {
				t.Fatal(err)
			}
			session := open(t, s)
			if _, err := session.Write(t.Context(), said(pod())); (err != nil) != (tc.create != nil) {
				t.Fatal(err)
			}
			deleted, err := session.PruneFormer(t.Context(), func(kind schema.GroupKind) bool { return kind.Kind == "Secret" })
			if deleted != tc.deleted || (err != nil) != tc.wantErr {
				t.Errorf("deleted %d, want %d; error %v", deleted, tc.deleted, err)
			}
			if diff := cmp.Diff(tc.want, formerNames(t, s)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// formerNames are the names of the reports of the former kind that are left.
func formerNames(t *testing.T, s *Store) []string {
	t.Helper()
	list := &v1alpha1.ReportList{}
	if err := s.client.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names
}

func TestThereAreNoFormerReportsOfAKindThatIsNotServed(t *testing.T) {
	s := failingStore(t, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		switch list.(type) {
		case *v1alpha1.ReportList, *v1alpha1.ClusterReportList:
			return &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "openreports.io", Kind: "Report"}}
		default:
			return c.List(ctx, list, options...)
		}
	}})
	if err := s.FindFormer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if deleted, err := open(t, s).PruneFormer(t.Context(), func(schema.GroupKind) bool { return false }); deleted != 0 || err != nil {
		t.Errorf("deleted %d, error %v", deleted, err)
	}
}
