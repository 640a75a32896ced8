package report

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kind chooses a report API; the words are those of upstream's flag --report-kind.
type Kind string

// The report APIs.
const (
	// KindPolicyReport is wgpolicyk8s.io/v1alpha2.
	KindPolicyReport Kind = "policyreport"
	// KindOpenReports is openreports.io/v1alpha1.
	KindOpenReports Kind = "openreports"
)

// Kinds lists the report APIs, the default one first.
func Kinds() []Kind { return []Kind{KindPolicyReport, KindOpenReports} }

// ParseKind reads a report API.
func ParseKind(text string) (Kind, error) {
	kind := Kind(text)
	if slices.Contains(Kinds(), kind) {
		return kind, nil
	}
	allowed := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		allowed = append(allowed, string(k))
	}
	return "", fmt.Errorf("report kind %q is not known; allowed are %s", text, strings.Join(allowed, ", "))
}

// family is a report API: a kind of reports for namespaces and one for the cluster. It is
// all that differs between the two APIs. The namespace of an argument chooses the kind: ""
// is the cluster.
type family interface {
	// groupVersion is where the kinds live.
	groupVersion() schema.GroupVersion
	// resource is the plural name.
	resource(namespace string) string
	// empty is a report to read into.
	empty(namespace string) client.Object
	// list is a list of reports to read into.
	list(namespace string) client.ObjectList
	// write makes a report.
	write(meta metav1.ObjectMeta, c content) client.Object
	// read is the inverse of write.
	read(report runtime.Object) (content, error)
}

func familyOf(kind Kind) (family, error) {
	switch kind {
	case KindPolicyReport:
		return wgpolicy{}, nil
	case KindOpenReports:
		return openreports{}, nil
	default:
		_, err := ParseKind(string(kind))
		return nil, err
	}
}

// AddToScheme makes a scheme know the kinds of both report APIs.
func AddToScheme(scheme *runtime.Scheme) error {
	for _, add := range []func(*runtime.Scheme) error{addWGPolicy, addOpenReports} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("add the kinds of reports to the scheme: %w", err)
		}
	}
	return nil
}
