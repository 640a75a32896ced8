package evaluation

import (
	"context"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// engineModule is a module of the engine as a Module.
type engineModule struct{ *policy.Module }

var _ Module = engineModule{}

// OfEngine makes a module of the engine a Module.
func OfEngine(module *policy.Module) Module { return engineModule{module} }

// Isolate is that of Module.
func (m engineModule) Isolate(ctx context.Context, call policy.Call, isolation policy.Isolation) (Module, error) {
	isolated, err := m.Module.Isolate(ctx, call, isolation)
	if err != nil {
		return nil, err
	}
	return engineModule{isolated}, nil
}
