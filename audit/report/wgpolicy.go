package report

import (
	"fmt"

	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wgpolicy is the API of the Kubernetes policy working group.
type wgpolicy struct{}

var _ family = wgpolicy{}

func addWGPolicy(scheme *runtime.Scheme) error { return v1alpha2.AddToScheme(scheme) }

func (wgpolicy) groupVersion() schema.GroupVersion { return v1alpha2.SchemeGroupVersion }

func (wgpolicy) resource(namespace string) string {
	if namespace == "" {
		return "clusterpolicyreports"
	}
	return "policyreports"
}

func (wgpolicy) empty(namespace string) client.Object {
	if namespace == "" {
		return &v1alpha2.ClusterPolicyReport{TypeMeta: typeMeta(v1alpha2.SchemeGroupVersion, "ClusterPolicyReport")}
	}
	return &v1alpha2.PolicyReport{TypeMeta: typeMeta(v1alpha2.SchemeGroupVersion, "PolicyReport")}
}

func (wgpolicy) list(namespace string) client.ObjectList {
	if namespace == "" {
		return &v1alpha2.ClusterPolicyReportList{}
	}
	return &v1alpha2.PolicyReportList{}
}

func (w wgpolicy) write(meta metav1.ObjectMeta, c content) client.Object {
	scope, summary := c.Scope, v1alpha2.PolicyReportSummary(c.Summary)
	results := make([]v1alpha2.PolicyReportResult, 0, len(c.Results))
	for _, e := range c.Results {
		results = append(results, w.result(e))
	}
	report := w.empty(meta.Namespace)
	switch r := report.(type) {
	case *v1alpha2.ClusterPolicyReport:
		r.ObjectMeta, r.Scope, r.Summary, r.Results = meta, &scope, summary, results
	case *v1alpha2.PolicyReport:
		r.ObjectMeta, r.Scope, r.Summary, r.Results = meta, &scope, summary, results
	}
	return report
}

func (wgpolicy) result(e entry) v1alpha2.PolicyReportResult {
	return v1alpha2.PolicyReportResult{
		Source:   Source,
		Policy:   e.Policy,
		Rule:     e.Rule,
		Category: e.Category,
		Severity: v1alpha2.PolicySeverity(e.Severity),
		Result:   v1alpha2.PolicyResult(e.Outcome),
		Message:  e.Message,
		Scored:   true,
		// An empty selector is always written, as upstream does; scope names the object.
		ResourceSelector: &metav1.LabelSelector{},
		Timestamp:        metav1.Timestamp{Seconds: e.Seconds},
		Properties:       e.Properties,
	}
}

func (wgpolicy) read(report runtime.Object) (content, error) {
	var (
		scope   *corev1.ObjectReference
		summary v1alpha2.PolicyReportSummary
		results []v1alpha2.PolicyReportResult
	)
	switch r := report.(type) {
	case *v1alpha2.ClusterPolicyReport:
		scope, summary, results = r.Scope, r.Summary, r.Results
	case *v1alpha2.PolicyReport:
		scope, summary, results = r.Scope, r.Summary, r.Results
	default:
		return content{}, fmt.Errorf("read a report: %T is not a kind of %s", report, v1alpha2.SchemeGroupVersion)
	}
	c := content{Summary: Summary(summary)}
	if scope != nil {
		c.Scope = *scope
	}
	for i := range results {
		r := &results[i]
		c.Results = append(c.Results, entry{
			Policy: r.Policy, Rule: r.Rule, Category: r.Category, Severity: string(r.Severity), Outcome: Outcome(r.Result),
			Message: r.Message, Seconds: r.Timestamp.Seconds, Properties: r.Properties,
		})
	}
	return c, nil
}

func typeMeta(version schema.GroupVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version.String(), Kind: kind}
}
