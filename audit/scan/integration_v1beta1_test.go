//go:build integration

package scan

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func sorted() cmp.Option { return cmpopts.SortSlices(strings.Compare) }

// TestReportsInAClusterThatStoresAnotherVersion has the definitions as other tools bring
// them: v1beta1 is stored and v1alpha2 served.
func TestReportsInAClusterThatStoresAnotherVersion(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"policyreports.wgpolicyk8s.io", "clusterpolicyreports.wgpolicyk8s.io"} {
		w.storeV1beta1(name)
	}
	w.namespace("team-m", nil)
	w.pod("team-m", "web", nil)
	w.double.judge("kw.cap.all", allow)
	policy := w.policy("all", creating("", "v1", "pods"), nil)
	w.mustScan()
	want := map[string][]string{"Pod/team-m/web": {"kw.cap.all pass"}}
	if diff := cmp.Diff(want, w.policyReports()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	later := v1alpha2.SchemeGroupVersion
	later.Version = "v1beta1"
	if diff := cmp.Diff(want, w.written(later, "PolicyReport")); diff != "" {
		t.Errorf("reports in the stored version (-want +got):\n%s", diff)
	}
	before := w.revisions()
	w.mustScan()
	if diff := cmp.Diff(before, w.revisions()); diff != "" {
		t.Errorf("nothing changed, yet reports were written (-before +after):\n%s", diff)
	}
	w.delete(policy)
	w.mustScan()
	if got := w.policyReports(); len(got) != 0 {
		t.Errorf("stale reports are left: %v", got)
	}
}

func (w *world) storeV1beta1(name string) {
	w.t.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Name: name}, definition); err != nil {
		w.t.Fatal(err)
	}
	stored := *definition.Spec.Versions[0].DeepCopy()
	stored.Name = "v1beta1"
	definition.Spec.Versions[0].Storage = false
	definition.Spec.Versions = append(definition.Spec.Versions, stored)
	if err := w.client.Update(w.t.Context(), definition); err != nil {
		w.t.Fatal(err)
	}
	served := v1alpha2.SchemeGroupVersion.WithKind(definition.Spec.Names.Kind)
	served.Version = "v1beta1"
	err := wait.PollUntilContextTimeout(w.t.Context(), 50*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		fresh := newClient(w.t, environment.Config)
		return fresh.List(ctx, listOf(served)) == nil, nil
	})
	if err != nil {
		w.t.Fatalf("%s does not serve v1beta1: %v", name, err)
	}
	w.client = newClient(w.t, environment.Config)
}
