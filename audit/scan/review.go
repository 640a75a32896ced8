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

// review is the AdmissionReview of an operation on an object, in JSON. Its form is upstream's
// (audit-scanner: scanner.go): the uid is the object's, nobody makes the request, the
// object is whole, and what an API server adds to describe an equivalent version is left
// out. Unlike upstream's it has apiVersion and kind, names the resource in the plural, and
// says by dryRun that nothing will come of it. An update changes nothing; a deletion has the
// object as the old one only, as API servers send it.
func review(operation matching.Operation, resource matching.Resource, object *unstructured.Unstructured) ([]byte, error) {
	encoded, err := object.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode %s %s/%s: %w", resource.Kind, object.GetNamespace(), object.GetName(), err)
	}
	kind := metav1.GroupVersionKind(resource.GVK())
	whole := runtime.RawExtension{Raw: encoded}
	request := &admissionv1.AdmissionRequest{
		UID:         object.GetUID(),
		Kind:        kind,
		RequestKind: &kind,
		Resource:    metav1.GroupVersionResource(resource.GVR),
		Name:        object.GetName(),
		Namespace:   object.GetNamespace(),
		Operation:   admissionv1.Operation(operation),
		DryRun:      new(true),
	}
	if operation != matching.Delete {
		request.Object = whole
	}
	if operation != matching.Create {
		request.OldObject = whole
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request:  request,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the review of %s %s/%s: %w", resource.Kind, object.GetNamespace(), object.GetName(), err)
	}
	return body, nil
}

// somebody makes the requests that are matched. A match condition may read the name and
// the groups of the user, and a request always has some; these are nobody's, so that no
// exception for somebody applies. What rights somebody has is asked as the scanner itself.
var somebody = &matching.User{Name: "kubewarden:audit-scanner", Groups: []string{matching.AllUsers}}

// simulation is the same request, for matching. The API server treats what is done to a
// namespace as a request inside of it.
func simulation(operation matching.Operation, resource matching.Resource, object *unstructured.Unstructured, namespaceLabels map[string]string) matching.Request {
	request := matching.Request{
		Resource:        resource,
		Operation:       operation,
		Name:            object.GetName(),
		Namespace:       object.GetNamespace(),
		NamespaceLabels: namespaceLabels,
		User:            somebody,
	}
	if operation != matching.Delete {
		request.Object = object
	}
	if operation != matching.Create {
		request.OldObject = object
	}
	if resource.GVR.Group == "" && resource.GVR.Resource == "namespaces" {
		request.Namespace, request.NamespaceLabels = object.GetName(), object.GetLabels()
	}
	return request
}
