package scan

import (
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// review is the AdmissionReview of an object's creation, in JSON. Its form is upstream's
// (audit-scanner: scanner.go): the uid is the object's, nobody makes the request, the
// object is whole, and what an API server adds to describe an equivalent version is left
// out. Unlike upstream's it has apiVersion and kind, and names the resource in the plural.
func review(resource matching.Resource, object *unstructured.Unstructured) ([]byte, error) {
	encoded, err := object.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode %s %s/%s: %w", resource.Kind, object.GetNamespace(), object.GetName(), err)
	}
	kind := metav1.GroupVersionKind(resource.GVK())
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:         object.GetUID(),
			Kind:        kind,
			RequestKind: &kind,
			Resource:    metav1.GroupVersionResource(resource.GVR),
			Name:        object.GetName(),
			Namespace:   object.GetNamespace(),
			Operation:   admissionv1.Create,
			Object:      runtime.RawExtension{Raw: encoded},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the review of %s %s/%s: %w", resource.Kind, object.GetNamespace(), object.GetName(), err)
	}
	return body, nil
}

// somebody makes the requests that are matched. A match condition may read the name and
// the groups of the user, and a request always has some; these are nobody's, so that no
// exception for somebody applies.
var somebody = &matching.User{Name: "kubewarden:audit-scanner", Groups: []string{matching.AllUsers}}

// creation is the same request, for matching. The API server treats the creation of a
// namespace as a request inside of it.
func creation(resource matching.Resource, object *unstructured.Unstructured, namespaceLabels map[string]string) matching.Request {
	request := matching.Request{
		Resource:        resource,
		Operation:       matching.Create,
		Name:            object.GetName(),
		Namespace:       object.GetNamespace(),
		NamespaceLabels: namespaceLabels,
		Object:          object,
		User:            somebody,
	}
	if resource.GVR.Group == "" && resource.GVR.Resource == "namespaces" {
		request.Namespace = object.GetName()
	}
	return request
}
