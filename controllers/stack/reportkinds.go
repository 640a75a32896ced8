package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/config/crd/reports"
	"github.com/kubewarden/kubewarden-operator/controllers/optional"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// Reports are written as kinds that many tools share. The operator creates their
// definitions where there are none, and never changes or removes one.
//
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=create

// reportKind is a kind of reports as the cluster has it.
type reportKind struct {
	// definition is the name of its CustomResourceDefinition.
	definition string
	// version is what reports are written in; group/version.
	version string
	// origin says who made the definition.
	origin string
	// established says that the API server takes objects of the kind.
	established bool
	// served are the versions in which it does.
	served []string
}

// reportGroup is the group of a kind of reports.
func reportGroup(kind operatorv1alpha1.AuditReportKind) string {
	if kind == operatorv1alpha1.AuditReportKindOpenReports {
		return reports.GroupOpenReports
	}
	return reports.GroupPolicyReports
}

// isReportDefinition says whether a definition is of a group of reports.
func isReportDefinition(object client.Object) bool {
	return strings.HasSuffix(object.GetName(), "."+reports.GroupPolicyReports) ||
		strings.HasSuffix(object.GetName(), "."+reports.GroupOpenReports)
}

// syncReportKinds creates the definitions that are missing, and notes what is there.
func (r *Reconciler) syncReportKinds(ctx context.Context, s *state) error {
	wanted, err := reports.Definitions(reportGroup(s.kubewarden.Spec.Audit.ReportKind))
	if err != nil {
		return err
	}
	for _, definition := range wanted {
		live, err := resource.Find(ctx, r.Client, definition.Name, &apiextensionsv1.CustomResourceDefinition{})
		if err != nil {
			return err
		}
		version := definition.Spec.Group + "/" + definition.Spec.Versions[0].Name
		if live == nil {
			definition.Labels = render.InstallationLabels(s.kubewarden.Name)
			if err := r.Applier.CreateMissing(ctx, definition); err != nil {
				return err
			}
			live = definition
		}
		s.reportKinds = append(s.reportKinds, newReportKind(live, version))
	}
	return nil
}

func newReportKind(definition *apiextensionsv1.CustomResourceDefinition, version string) reportKind {
	kind := reportKind{
		definition:  definition.Name,
		version:     version,
		origin:      "found",
		established: optional.IsEstablished(definition),
	}
	switch manager := definition.Labels["app.kubernetes.io/managed-by"]; {
	case render.IsOurs(definition.Labels):
		kind.origin = "created by this operator"
	case manager != "":
		kind.origin = "found, managed by " + manager
	}
	for i := range definition.Spec.Versions {
		if definition.Spec.Versions[i].Served {
			kind.served = append(kind.served, definition.Spec.Group+"/"+definition.Spec.Versions[i].Name)
		}
	}
	return kind
}

// setReportKindsServed says whether reports can be written, and who sees to it.
func setReportKindsServed(s *state) {
	condition := metav1.Condition{
		Type: operatorv1alpha1.ConditionReportKindsServed, Status: metav1.ConditionTrue, Reason: operatorv1alpha1.ReasonServed,
	}
	var words []string
	for _, kind := range s.reportKinds {
		trouble, reason := kind.trouble()
		if reason != "" {
			condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, reason, trouble
			s.setCondition(condition)
			return
		}
		words = append(words, fmt.Sprintf("%s in %s (%s)", kind.definition, kind.version, kind.origin))
	}
	condition.Message = "reports are written as " + strings.Join(words, " and ")
	s.setCondition(condition)
}

// trouble says why reports of a kind cannot be written, and gives the reason of the
// condition; both are empty when they can.
func (k reportKind) trouble() (message, reason string) {
	switch {
	case !slices.Contains(k.served, k.version):
		return fmt.Sprintf("CustomResourceDefinition %s (%s) serves %s, and reports are written in %s: have it serve that version as well, "+
			"or set spec.audit.reportKind to the other kind", k.definition, k.origin, strings.Join(k.served, ", "), k.version), operatorv1alpha1.ReasonVersionNotServed
	case !k.established:
		return fmt.Sprintf("CustomResourceDefinition %s (%s) is not established yet", k.definition, k.origin), operatorv1alpha1.ReasonNotEstablished
	default:
		return "", ""
	}
}
