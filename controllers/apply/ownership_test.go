package apply

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func TestCheckOurs(t *testing.T) {
	owner := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "owner", UID: "owner-uid"}}
	ours := map[string]string{render.LabelInstallation: "kubewarden"}
	yes := true
	controlled := metav1.OwnerReference{Kind: "ReplicaSet", Name: "other", UID: "other-uid", Controller: &yes}
	merelyOwned := metav1.OwnerReference{Kind: "ReplicaSet", Name: "other", UID: "other-uid"}
	ownedByOwner := metav1.OwnerReference{Kind: "Namespace", Name: "owner", UID: "owner-uid"}
	tests := map[string]struct {
		owner      client.Object
		labels     map[string]string
		references []metav1.OwnerReference
		managers   []metav1.ManagedFieldsEntry
		want       error
	}{
		"nobody's":                                {owner: owner, want: &ForeignError{Object: "Service a/b"}},
		"with upstream's labels alone":            {owner: owner, labels: map[string]string{"app.kubernetes.io/part-of": "kubewarden"}, want: &ForeignError{Object: "Service a/b"}},
		"with our label":                          {owner: owner, labels: ours},
		"with our label, of an object unowned":    {labels: ours},
		"owned by the owner":                      {owner: owner, references: []metav1.OwnerReference{ownedByOwner}},
		"controlled by another":                   {owner: owner, references: []metav1.OwnerReference{controlled}, want: &ForeignError{Object: "Service a/b", Controller: "ReplicaSet other"}},
		"with our label, controlled by another":   {owner: owner, labels: ours, references: []metav1.OwnerReference{controlled}, want: &ForeignError{Object: "Service a/b", Controller: "ReplicaSet other"}},
		"with our label, controlled, but unowned": {labels: ours, references: []metav1.OwnerReference{controlled}, want: &ForeignError{Object: "Service a/b", Controller: "ReplicaSet other"}},
		"applied by us, the label taken off": {
			managers: []metav1.ManagedFieldsEntry{{Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationApply}},
		},
		"touched by us, but not applied": {
			managers: []metav1.ManagedFieldsEntry{{Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationUpdate}},
			want:     &ForeignError{Object: "Service a/b"},
		},
		"owned by both, controlled by neither": {owner: owner, references: []metav1.OwnerReference{merelyOwned, ownedByOwner}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			live := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
				Labels: tc.labels, OwnerReferences: tc.references, ManagedFields: tc.managers,
			}}
			got := checkOurs("Service a/b", live, tc.owner)
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(sameRefusal)); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPredecessorIsTold(t *testing.T) {
	controlledBy := func(name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Namespace", Name: name, UID: "earlier", Controller: new(true),
		}}}}
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	owner := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "owner", UID: "later"}}
	wanted, err := newWanted(scheme, owner, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	for controller, want := range map[string]string{
		"owner": "Service a/b belongs to an earlier Namespace owner, which was deleted, and waits to be garbage collected",
		"other": "Service a/b belongs to Namespace other and is left alone: rename one of the two owners",
	} {
		if err := checkReplaceable(wanted, controlledBy(controller), owner); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func sameRefusal(a, b error) bool {
	var refusedA, refusedB *ForeignError
	if !errors.As(a, &refusedA) || !errors.As(b, &refusedB) {
		return a == nil && b == nil
	}
	return *refusedA == *refusedB
}

func TestAdditionsAreRemovedFromTheLastToTheFirst(t *testing.T) {
	named := func(names ...string) []map[string]any {
		items := make([]map[string]any, 0, len(names))
		for _, name := range names {
			items = append(items, map[string]any{"name": name})
		}
		return items
	}
	tests := map[string]struct {
		rendered, live []map[string]any
		want           []operation
	}{
		"nothing added":     {rendered: named("a", "b"), live: named("b", "a")},
		"something missing": {rendered: named("a", "b"), live: named("a")},
		"added at both ends": {
			rendered: named("a"), live: named("x", "a", "y"),
			want: []operation{
				{Op: "test", Path: "/list/2/name", Value: "y"},
				{Op: "remove", Path: "/list/2"},
				{Op: "test", Path: "/list/0/name", Value: "x"},
				{Op: "remove", Path: "/list/0"},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, additions("/list", tc.rendered, tc.live)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}
