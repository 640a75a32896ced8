package report

import (
	"context"
	"errors"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Labels of a report; upstream's.
const (
	// LabelManagedBy marks the reports that are this scanner's. One of the same name
	// without it is somebody else's and is left alone.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "kubewarden"

	labelVersion = "kubewarden.io/policyreport-version"
	version      = "v2"

	// LabelRunUID names the scan that wrote the report. It changes with every write, and
	// only with a write: a scan that finds nothing new writes nothing.
	LabelRunUID = "kubewarden.io/audit-scanner-run-uid"
)

// anyNamespace chooses the namespaced kind of a family where no one namespace is meant.
const anyNamespace = "*"

// pageSize is how many reports are listed at once.
const pageSize = 500

// ErrForeign marks a report that bears the name of one of ours and is not ours.
var ErrForeign = errors.New("a report of this name exists and is not kubewarden's; it is left alone")

// Store reads and writes the reports of one API.
type Store struct {
	client client.Client
	writer writer
	family family
	runUID string
	held   held
	// former is what FindFormer found.
	former []former
}

// NewStore makes a Store. The client must not cache and must know the kinds of AddToScheme;
// runUID names the scan, in the label LabelRunUID.
func NewStore(c client.Client, kind Kind, runUID string) (*Store, error) {
	chosen, err := familyOf(kind)
	if err != nil {
		return nil, err
	}
	return &Store{client: c, writer: whole{c}, family: chosen, runUID: runUID, held: held{limit: maxHeld}}, nil
}

// Check says whether the cluster serves the kinds of reports.
func (s *Store) Check(ctx context.Context) error {
	for _, kind := range []string{"", anyNamespace} {
		err := s.client.List(ctx, s.family.list(kind), client.Limit(1), ours())
		if apimeta.IsNoMatchError(err) {
			resources := []string{s.family.resource(anyNamespace), s.family.resource("")}
			return fmt.Errorf("the cluster does not serve %v of %s: install their CustomResourceDefinitions, choose another report kind, or store nothing", resources, s.family.groupVersion())
		}
		if err != nil {
			return fmt.Errorf("list the reports of %s: %w", s.family.groupVersion(), err)
		}
	}
	return nil
}

// Render is the object that a report would be written as, for output.
func (s *Store) Render(r Report) runtime.Object {
	return s.family.write(s.draft(r))
}

// draft is a new report, in neither of the two APIs.
func (s *Store) draft(r Report) (metav1.ObjectMeta, content) {
	meta, c := s.metadata(r), r.content()
	if c.LeftOut != "" {
		meta.Annotations = map[string]string{AnnotationLeftOut: c.LeftOut}
	}
	return meta, c
}

func ours() client.MatchingLabels { return client.MatchingLabels{LabelManagedBy: managedBy} }

func isOurs(report client.Object) bool { return report.GetLabels()[LabelManagedBy] == managedBy }

// metadata of a new report.
func (s *Store) metadata(r Report) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      r.Name(),
		Namespace: r.Scope.Namespace,
		Labels: map[string]string{
			LabelManagedBy: managedBy,
			labelVersion:   version,
			LabelRunUID:    s.runUID,
		},
		// The garbage collector removes the report with its object.
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: r.Scope.APIVersion,
			Kind:       r.Scope.Kind,
			Name:       r.Scope.Name,
			UID:        r.Scope.UID,
		}},
	}
}
