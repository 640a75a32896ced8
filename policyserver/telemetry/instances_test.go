package telemetry

import (
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

func TestInstancesAreInTheMetrics(t *testing.T) {
	stats := policy.Stats{Isolation: policy.IsolationPristine, Method: "pagemap"}
	metrics := NewMetrics("1")
	metrics.ObserveEngine(func() policy.Stats { return stats })
	for _, line := range []string{
		`kubewarden_policy_server_isolation{isolation="pristine",method="pagemap"} 1`,
	} {
		if !strings.Contains(scrape(t, metrics), "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
	stats.Method = "copy" // it can change at any time
	if got := scrape(t, metrics); !strings.Contains(got, `method="copy"} 1`) || strings.Contains(got, `method="pagemap"`) {
		t.Error("the method is that of the start")
	}
}
