package conformance

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
)

// newCluster imitates one with namespaces "shop" and "team", of which the latter demands labels,
// a Service "web" in each, and a user "root", who may do everything.
func newCluster() *objects.Clients {
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	services := schema.GroupVersionResource{Version: "v1", Resource: "services"}
	names := []string{"shop", "team"}
	all := make([]runtime.Object, 0, 2*len(names))
	demands := map[string]map[string]any{"team": {"required-labels.kubewarden.io/keys": "owner, cost-centre"}}
	for _, namespace := range names {
		metadata := map[string]any{"name": namespace}
		if demanded := demands[namespace]; demanded != nil {
			metadata["annotations"] = demanded
		}
		all = append(all, object("Namespace", metadata, nil),
			object("Service", map[string]any{"name": "web", "namespace": namespace, "labels": map[string]any{"owner": namespace}},
				map[string]any{"type": "ClusterIP", "ports": []any{map[string]any{"port": int64(80), "protocol": "TCP"}}}))
	}
	typed := fake.NewClientset()
	typed.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "namespaces", Kind: "Namespace"}, {Name: "services", Kind: "Service", Namespaced: true},
	}}}
	typed.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := &authorizationv1.SubjectAccessReview{}
		if create, is := action.(clienttesting.CreateAction); is {
			asked, _ := create.GetObject().(*authorizationv1.SubjectAccessReview)
			review.Status.Allowed = asked.Spec.User == "root"
		}
		return true, review, nil
	})
	return &objects.Clients{
		Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{namespaces: "NamespaceList", services: "ServiceList"}, all...),
		Discovery: typed.Discovery(),
		Reviews:   typed,
	}
}

func object(kind string, metadata, spec map[string]any) *unstructured.Unstructured {
	made := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": metadata}
	if spec != nil {
		made["spec"] = spec
	}
	return &unstructured.Unstructured{Object: made}
}
