package scan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// noObjects is the place of the objects in an encoded request that has none.
var noObjects = []byte(`"object":null,"oldObject":null`)

// review is the AdmissionReview of an operation on an object, in JSON. Its form is upstream's
// (audit-scanner: scanner.go): the uid is the object's, nobody makes the request, the
// object is whole, and what an API server adds to describe an equivalent version is left
// out. Unlike upstream's it has apiVersion and kind, names the resource in the plural, and
// says by dryRun that nothing will come of it. An update changes nothing; a deletion has the
// object as the old one only, as API servers send it.
func review(operation matching.Operation, resource matching.Resource, object *item) ([]byte, error) {
	kind := metav1.GroupVersionKind(resource.GVK())
	encoded, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:         object.uid,
			Kind:        kind,
			RequestKind: &kind,
			Resource:    metav1.GroupVersionResource(resource.GVR),
			Name:        object.name,
			Namespace:   object.namespace,
			Operation:   admissionv1.Operation(operation),
			DryRun:      new(true),
		},
	})
	// Text has no quotes in it that are not escaped.
	before, after, found := bytes.Cut(encoded, noObjects)
	if err != nil || !found {
		return nil, fmt.Errorf("encode the review of %s %s/%s: %w", resource.Kind, object.namespace, object.name, cmp.Or(err, errNoPlace))
	}
	now, old := object.text, object.text
	if operation == matching.Delete {
		now = []byte("null")
	}
	if operation == matching.Create {
		old = []byte("null")
	}
	return slices.Concat(before, []byte(`"object":`), now, []byte(`,"oldObject":`), old, after), nil
}

// errNoPlace is of a request that is encoded in another way than is known here.
var errNoPlace = errors.New("there is no place for the object")

// somebody makes the requests that are matched. A match condition may read the name and
// the groups of the user, and a request always has some; these are nobody's, so that no
// exception for somebody applies. What rights somebody has is asked as the scanner itself.
var somebody = &matching.User{Name: "kubewarden:audit-scanner", Groups: []string{matching.AllUsers}}

// simulation is the same request, for matching. The API server treats what is done to a
// namespace as a request inside of it.
func simulation(operation matching.Operation, resource matching.Resource, object client.Object, namespaceLabels map[string]string) matching.Request {
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
