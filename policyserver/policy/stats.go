package policy

import "github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"

// Stats is how an engine's modules get their instances.
type Stats struct {
	// Isolation is what the engine does, which may be less than what Config wanted.
	Isolation Isolation
	// Method is how memory is put back, "pagemap" or "copy"; "none" with IsolationFresh.
	Method string
}

// Stats is what there is now.
func (e *Engine) Stats() Stats {
	return Stats{Isolation: e.isolation(), Method: method(e.memory)}
}

func (e *Engine) isolation() Isolation {
	if e.memory == nil {
		return IsolationFresh
	}
	return IsolationPristine
}

func method(system *snapshot.System) string {
	if system == nil {
		return "none"
	}
	method, _ := system.Method()
	return method.String()
}
