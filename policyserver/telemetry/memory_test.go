package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

func TestMemoryIsInTheMetrics(t *testing.T) {
	budget := memory.NewBudget(memory.Plan{Limit: 1000, Modules: 300, Guests: 200, Objects: 100}, nil)
	metrics := NewMetrics("1")
	metrics.ObserveMemory(budget)
	if err := budget.Take(memory.Modules, memory.Size{Mapped: 100, Heap: 50}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if budget.Take(memory.Guests, memory.Size{Heap: 201}) == nil {
			t.Fatal("more than there is was given")
		}
	}
	answer := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path, http.NoBody))
	for _, line := range []string{
		`kubewarden_policy_server_memory_limit_bytes 1000`,
		`kubewarden_policy_server_memory_held_bytes{kind="modules"} 150`,
		`kubewarden_policy_server_memory_held_bytes{kind="guests"} 0`,
		`kubewarden_policy_server_memory_allowed_bytes{kind="modules"} 300`,
		`kubewarden_policy_server_memory_allowed_bytes{kind="guests"} 200`,
		`kubewarden_policy_server_memory_held_bytes{kind="objects"} 0`,
		`kubewarden_policy_server_memory_allowed_bytes{kind="objects"} 100`,
		`kubewarden_policy_server_memory_refusals_total{kind="modules"} 0`,
		`kubewarden_policy_server_memory_refusals_total{kind="objects"} 0`,
		`kubewarden_policy_server_memory_refusals_total{kind="guests"} 2`,
	} {
		if !strings.Contains(answer.Body.String(), "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}
