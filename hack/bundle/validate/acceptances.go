package validate

import "fmt"

// acceptance explains why one finding of a foreign validator stays.
type acceptance struct {
	rule, message, reason string
}

// acceptances are few, and each is looked for: one that explains nothing any more is a
// finding itself.
var acceptances = []acceptance{
	{
		rule:    "object",
		message: "RBAC includes permission to create/update poddisruptionbudgets, which could impact cluster stability",
		reason: "the right is a Role's, in the operator's own namespace, where it keeps policy servers available while nodes are drained; " +
			"as a permission of the ClusterServiceVersion, where the validator does not look, it would hold in every namespace",
	},
	{
		rule: "good-practices",
		message: "CSV contains permissions to create CRD. An Operator shouldn't deploy or manage other operators (such patterns are known as meta or super operators " +
			"or include CRDs in its Operands). It's the Operator Lifecycle Manager's job to manage the deployment and lifecycle of operators. " +
			" Please, review the design of your solution and if you should not be using Dependency Resolution from OLM instead. " +
			"More info: https://sdk.operatorframework.io/docs/best-practices/common-recommendation/",
		reason: "the kinds of audit reports are shared by many tools and owned by none: a bundle that owned them would take them from the others, and their reports with them when it goes; " +
			"the operator creates those that a cluster lacks, and has no right to change or delete any",
	},
}

// accept moves what an acceptance explains out of the findings.
func (r *Report) accept(acceptances []acceptance) {
	used := make([]bool, len(acceptances))
	var left []Finding
	for _, finding := range r.Findings {
		explained := false
		for i, one := range acceptances {
			if finding.Severity == SeverityWarning && finding.Rule == one.rule && finding.Message == one.message {
				used[i], explained = true, true
				r.Accepted = append(r.Accepted, Accepted{Finding: finding, Reason: one.reason})
			}
		}
		if !explained {
			left = append(left, finding)
		}
	}
	for i, one := range acceptances {
		if !used[i] {
			left = append(left, Finding{
				Rule: "acceptances", Severity: SeverityWarning,
				Message: fmt.Sprintf("%s does not say %q any more; remove the acceptance", one.rule, one.message),
			})
		}
	}
	r.Findings = left
}
