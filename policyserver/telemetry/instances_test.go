package telemetry

import (
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

func TestInstancesAreInTheMetrics(t *testing.T) {
	stats := policy.Stats{
		Isolation: policy.IsolationPristine, Method: "pagemap", Idle: 1, Made: 2, Fresh: 3, Restores: 4, Pages: 5, Failed: 6, Reclaimed: 7,
		Taken: map[policy.Isolation]uint64{policy.IsolationWarm: 21, policy.IsolationPristine: 22},
		Warm:  23, NotWarm: map[policy.NotWarm]uint64{policy.NotWarmNoGain: 24},
		Compiled: 8, FromCache: 3, CompileTime: 1500 * time.Millisecond,
		Datasets: 9, DatasetBytes: 10, DatasetsMade: 11, WithoutDataset: 12,
	}
	metrics := NewMetrics("1")
	metrics.ObserveEngine(func() policy.Stats { return stats })
	for _, line := range []string{
		`kubewarden_policy_server_isolation{isolation="pristine",method="pagemap"} 1`,
		`kubewarden_policy_server_instances_idle 1`,
		`kubewarden_policy_server_instances_taken_total{mode="warm"} 21`,
		`kubewarden_policy_server_instances_taken_total{mode="pristine"} 22`,
		`kubewarden_policy_server_policies_warm 23`,
		`kubewarden_policy_server_policies_not_warm_total{reason="no-gain"} 24`,
		`kubewarden_policy_server_instances_made_total 2`,
		`kubewarden_policy_server_instances_made_fresh_total 3`,
		`kubewarden_policy_server_instance_restores_total 4`,
		`kubewarden_policy_server_instance_restored_pages_total 5`,
		`kubewarden_policy_server_instance_restore_failures_total 6`,
		`kubewarden_policy_server_instances_reclaimed_total 7`,
		`kubewarden_policy_server_datasets 9`,
		`kubewarden_policy_server_dataset_bytes 10`,
		`kubewarden_policy_server_datasets_made_total 11`,
		`kubewarden_policy_server_datasets_without_room_total 12`,
		`kubewarden_policy_server_module_compilations_total 8`,
		`kubewarden_policy_server_module_compilation_cache_hits_total 3`,
		`kubewarden_policy_server_module_compilation_seconds_total 1.5`,
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
