package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
)

func TestFieldsOfUpstreamBecomeOurs(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, version, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: operation, APIVersion: version, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	status := entry("controller", metav1.ManagedFieldsOperationUpdate, "v1", `{"f:status":{}}`)
	status.Subresource = "status"
	users := entry("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "v1", `{"f:data":{"f:users":{}}}`)
	live := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		entry("controller", metav1.ManagedFieldsOperationUpdate, "v1", `{"f:data":{"f:a":{}},"f:metadata":{"f:finalizers":{"v:\"x\"":{}}}}`),
		entry("controller", metav1.ManagedFieldsOperationUpdate, "v1alpha2", `{"f:data":{"f:b":{}}}`),
		entry("helm", metav1.ManagedFieldsOperationApply, "v1", `{"f:data":{"f:c":{}}}`),
		status, users,
	}}}
	renamed, err := inherit(live, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := csaupgrade.UpgradeManagedFields(live, renamed, FieldOwner); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, entry := range live.ManagedFields {
		got[entry.Manager+" "+string(entry.Operation)+" "+entry.Subresource] = entry.FieldsV1.GetRawString()
	}
	want := map[string]string{
		FieldOwner + " Apply ":     `{"f:data":{"f:a":{},"f:b":{},"f:c":{}}}`,
		"controller Update status": `{"f:status":{}}`,
		"kubectl-edit Update ":     `{"f:data":{"f:users":{}}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("managers (-want +got):\n%s", diff)
	}
	again, err := inherit(live, "v1")
	if diff := cmp.Diff(sets.New[string](), again); err != nil || diff != "" {
		t.Errorf("there is more to take over (%v):\n%s", err, diff)
	}
}
