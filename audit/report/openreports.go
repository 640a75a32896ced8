package report

import (
	"fmt"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// openreports is the API of the OpenReports project.
type openreports struct{}

var _ family = openreports{}

func addOpenReports(scheme *runtime.Scheme) error { return v1alpha1.Install(scheme) }

func (openreports) groupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version}
}

func (openreports) resource(namespace string) string {
	if namespace == "" {
		return "clusterreports"
	}
	return "reports"
}

func (o openreports) empty(namespace string) client.Object {
	if namespace == "" {
		return &v1alpha1.ClusterReport{TypeMeta: typeMeta(o.groupVersion(), "ClusterReport")}
	}
	return &v1alpha1.Report{TypeMeta: typeMeta(o.groupVersion(), "Report")}
}

func (openreports) list(namespace string) client.ObjectList {
	if namespace == "" {
		return &v1alpha1.ClusterReportList{}
	}
	return &v1alpha1.ReportList{}
}

// write leaves the source of the report empty, as upstream does: each result names its own.
func (o openreports) write(meta metav1.ObjectMeta, c content) client.Object {
	scope, summary := c.Scope, v1alpha1.ReportSummary(c.Summary)
	results := make([]v1alpha1.ReportResult, 0, len(c.Results))
	for _, e := range c.Results {
		results = append(results, o.result(e))
	}
	report := o.empty(meta.Namespace)
	switch r := report.(type) {
	case *v1alpha1.ClusterReport:
		r.ObjectMeta, r.Scope, r.Summary, r.Results = meta, &scope, summary, results
	case *v1alpha1.Report:
		r.ObjectMeta, r.Scope, r.Summary, r.Results = meta, &scope, summary, results
	}
	return report
}

func (openreports) result(e entry) v1alpha1.ReportResult {
	return v1alpha1.ReportResult{
		Source:   Source,
		Policy:   e.Policy,
		Rule:     e.Rule,
		Category: e.Category,
		Severity: v1alpha1.ResultSeverity(e.Severity),
		Result:   v1alpha1.Result(e.Outcome),
		// The field is named message in JSON.
		Description:      e.Message,
		Scored:           true,
		ResourceSelector: &metav1.LabelSelector{},
		Timestamp:        metav1.Timestamp{Seconds: e.Seconds},
		Properties:       e.Properties,
	}
}

func (o openreports) read(report runtime.Object) (content, error) {
	var (
		scope   *corev1.ObjectReference
		summary v1alpha1.ReportSummary
		results []v1alpha1.ReportResult
	)
	switch r := report.(type) {
	case *v1alpha1.ClusterReport:
		scope, summary, results = r.Scope, r.Summary, r.Results
	case *v1alpha1.Report:
		scope, summary, results = r.Scope, r.Summary, r.Results
	default:
		return content{}, fmt.Errorf("read a report: %T is not a kind of %s", report, o.groupVersion())
	}
	c := content{Summary: Summary(summary)}
	if scope != nil {
		c.Scope = *scope
	}
	for i := range results {
		r := &results[i]
		c.Results = append(c.Results, entry{
			Policy: r.Policy, Rule: r.Rule, Category: r.Category, Severity: string(r.Severity), Outcome: Outcome(r.Result),
			Message: r.Description, Seconds: r.Timestamp.Seconds, Properties: r.Properties,
		})
	}
	return c, nil
}
