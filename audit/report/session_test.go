package report

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// What a Session does with an API server that answers is tested against a real one in
// audit/scan; here are the answers that such a one gives at bad moments only.

var reportResource = schema.GroupResource{Group: "wgpolicyk8s.io", Resource: "policyreports"}

func failingStore(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *Store {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
	s, err := NewStore(c, KindPolicyReport, runUID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, s *Store) *Session {
	t.Helper()
	session, err := s.Open(t.Context(), "team-a")
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// stored is a report of ours that says something else than said(pod()).
func stored() *v1alpha2.PolicyReport {
	return &v1alpha2.PolicyReport{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team-a", Name: string(pod().UID), Labels: map[string]string{LabelManagedBy: managedBy},
	}}
}

// once fails the first call and none after it.
func once(err error) func() error {
	return func() error {
		failure := err
		err = nil
		return failure
	}
}

func TestWriteLooksAgainWhenSomebodyElseWasThere(t *testing.T) {
	conflict := once(apierrors.NewConflict(reportResource, "x", errors.New("changed")))
	gone := once(apierrors.NewNotFound(reportResource, "x"))
	cases := map[string]struct {
		before []client.Object
		funcs  interceptor.Funcs
		want   Written
	}{
		"it was changed": {
			before: []client.Object{stored()}, want: Replaced,
			funcs: interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
				if err := conflict(); err != nil {
					return err
				}
				return c.Update(ctx, object, options...)
			}},
		},
		"it was deleted": {
			before: []client.Object{stored()}, want: Created,
			funcs: interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, object client.Object, _ ...client.UpdateOption) error {
				return errors.Join(gone(), c.Delete(ctx, object))
			}},
		},
		"it was created": {
			before: []client.Object{stored()}, want: Replaced,
			funcs: interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return nil }},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			session := open(t, failingStore(t, tc.funcs, tc.before...))
			got, err := session.Write(t.Context(), said(pod()))
			if err != nil || got != tc.want {
				t.Fatalf("written = %q, %v, want %q", got, err, tc.want)
			}
			report := &v1alpha2.PolicyReport{}
			if err := session.store.client.Get(t.Context(), client.ObjectKeyFromObject(stored()), report); err != nil {
				t.Fatal(err)
			}
			if len(report.Results) != 3 {
				t.Errorf("the report has %d results, want 3", len(report.Results))
			}
		})
	}
}

func TestWriteInANamespaceThatGoesAway(t *testing.T) {
	terminating := apierrors.NewForbidden(reportResource, "x", errors.New("unable to create new content"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	noDefinition := apierrors.NewGenericServerResponse(404, "post", reportResource, "", "", 0, true)
	cases := map[string]struct {
		err     error
		want    Written
		wantErr string
	}{
		"being deleted":             {err: terminating, want: Gone},
		"deleted":                   {err: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team-a"), want: Gone},
		"the kind is not served":    {err: noDefinition, wantErr: "could not find the requested resource"},
		"forbidden for another why": {err: apierrors.NewForbidden(reportResource, "x", errors.New("no right")), wantErr: "write the report of Pod team-a/web: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			session := open(t, failingStore(t, interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return tc.err }}))
			got, err := session.Write(t.Context(), said(pod()))
			if got != tc.want || tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("written = %q, %v, want %q, %q", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestPruneLeavesWhatItMust(t *testing.T) {
	other := stored()
	other.Name, other.Scope = "of-a-secret", &corev1.ObjectReference{APIVersion: "v1", Kind: "Secret"}
	stale := stored()
	stale.Name, stale.Scope = "of-a-service", &corev1.ObjectReference{APIVersion: "v1", Kind: "Service"}
	isSecret := func(kind schema.GroupKind) bool { return kind.Kind == "Secret" }
	cases := map[string]struct {
		deleteErr error
		want      []string
		deleted   int
		wantErr   bool
	}{
		"all goes well":         {want: []string{stored().Name, "of-a-secret"}, deleted: 1},
		"somebody wrote it":     {deleteErr: apierrors.NewConflict(reportResource, "x", errors.New("changed")), want: []string{stored().Name, "of-a-secret", "of-a-service"}},
		"somebody deleted it":   {deleteErr: apierrors.NewNotFound(reportResource, "x"), want: []string{stored().Name, "of-a-secret", "of-a-service"}},
		"it may not be deleted": {deleteErr: apierrors.NewForbidden(reportResource, "x", errors.New("no right")), want: []string{stored().Name, "of-a-secret", "of-a-service"}, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			session := open(t, failingStore(t, interceptor.Funcs{
				Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
					return errors.New("out of order")
				},
				Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
					checkPreconditions(t, options)
					if tc.deleteErr != nil {
						return tc.deleteErr
					}
					return c.Delete(ctx, object)
				},
			}, stored(), other, stale))
			if _, err := session.Write(t.Context(), said(pod())); err == nil {
				t.Fatal("an update that fails is an error")
			}
			deleted, err := session.Prune(t.Context(), isSecret)
			if deleted != tc.deleted || (err != nil) != tc.wantErr {
				t.Errorf("deleted %d, error %v", deleted, err)
			}
			if diff := cmp.Diff(tc.want, reportNames(t, session)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// reportNames are the names of the reports that are stored.
func reportNames(t *testing.T, session *Session) []string {
	t.Helper()
	reports := &v1alpha2.PolicyReportList{}
	if err := session.store.client.List(t.Context(), reports); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(reports.Items))
	for i := range reports.Items {
		names = append(names, reports.Items[i].Name)
	}
	return names
}

func checkPreconditions(t *testing.T, options []client.DeleteOption) {
	t.Helper()
	applied := &client.DeleteOptions{}
	applied.ApplyOptions(options)
	if applied.Preconditions == nil || applied.Preconditions.UID == nil || applied.Preconditions.ResourceVersion == nil {
		t.Errorf("deletes without preconditions: %+v", applied)
	}
}

func TestOpenReadsAllPages(t *testing.T) {
	var tokens []string
	s := failingStore(t, interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
		applied := &client.ListOptions{}
		applied.ApplyOptions(options)
		tokens = append(tokens, applied.Continue)
		list, is := into.(*v1alpha2.PolicyReportList)
		if !is {
			return errors.New("not a list of PolicyReports")
		}
		*list = v1alpha2.PolicyReportList{Items: []v1alpha2.PolicyReport{*stored()}}
		list.Items[0].Name = "page-" + applied.Continue
		if applied.Continue == "" {
			list.Continue = "2"
		}
		return nil
	}})
	session := open(t, s)
	if diff := cmp.Diff([]string{"", "2"}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if len(session.existing) != 2 {
		t.Errorf("knows %d reports, want 2", len(session.existing))
	}
}

func TestCheckSaysWhatToDoWhereTheKindsLack(t *testing.T) {
	s := failingStore(t, interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "wgpolicyk8s.io", Kind: "ClusterPolicyReport"}}
	}})
	want := "the cluster does not serve [policyreports clusterpolicyreports] of wgpolicyk8s.io/v1alpha2: install their CustomResourceDefinitions, choose another report kind, or store nothing"
	if err := s.Check(t.Context()); err == nil || err.Error() != want {
		t.Errorf("error = %v\nwant    %s", err, want)
	}
}

func TestAReportThatFitsAgainSaysSo(t *testing.T) {
	session := open(t, failingStore(t, interceptor.Funcs{}))
	read := func() map[string]string {
		written := stored()
		if err := session.store.client.Get(t.Context(), client.ObjectKeyFromObject(written), written); err != nil {
			t.Fatal(err)
		}
		return written.Annotations
	}
	large := many(pod(), 2500, "no")
	for _, want := range []Written{Created, Unchanged} {
		session = open(t, session.store)
		if got, err := session.Write(t.Context(), large); got != want || err != nil || session.Shortened() != 1 {
			t.Errorf("written = %q, %v, want %q; shortened %d", got, err, want, session.Shortened())
		}
		if read()[AnnotationLeftOut] == "" {
			t.Error("nobody is told that something is left out")
		}
	}
	session = open(t, session.store)
	if got, err := session.Write(t.Context(), said(pod())); got != Replaced || err != nil || session.Shortened() != 0 {
		t.Errorf("written = %q, %v; shortened %d", got, err, session.Shortened())
	}
	if got := read(); len(got) > 0 {
		t.Errorf("annotations = %v", got)
	}
}
