package scan

import (
	"context"
	"encoding/json"

	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// Messages of the log lines that carry a report; upstream's.
const (
	outputNamespaced = "PolicyReport summary"
	outputCluster    = "ClusterPolicyReport summary"
)

// output logs a report as JSON text, under the key report.
func (p *pass) output(ctx context.Context, r report.Report) {
	message := outputNamespaced
	if p.namespace == "" {
		message = outputCluster
	}
	encoded, err := json.Marshal(p.config.Store.Render(r))
	if err != nil {
		p.config.Log.ErrorContext(ctx, "cannot encode a report", "object", r.Name(), "error", err.Error())
		return
	}
	p.config.Log.InfoContext(ctx, message, "report", string(encoded))
}
