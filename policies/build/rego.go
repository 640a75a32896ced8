package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/compile"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
)

// regoFile is where a policy in Rego stands in its folder.
const regoFile = "policy.rego"

// CompileRego compiles the policy.rego in a folder for an execution mode. For Gatekeeper it
// is in the syntax before OPA 1.0, which is that of Gatekeeper's own policies, and its rule
// is data.policy.violation; for OPA it is in today's, and its rule is data.policy.main.
func CompileRego(ctx context.Context, folder fs.FS, mode metadata.ExecutionMode) ([]byte, error) {
	syntax, entrypoint := ast.RegoV1, "policy/main"
	if mode == metadata.ModeGatekeeper {
		syntax, entrypoint = ast.RegoV0, "policy/violation"
	}
	compiler := compile.New().
		WithTarget(compile.TargetWasm).
		WithRegoVersion(syntax).
		WithEntrypoints(entrypoint).
		WithFS(folder).
		WithPaths(regoFile)
	if err := compiler.Build(ctx); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	modules := compiler.Bundle().WasmModules
	if len(modules) != 1 {
		return nil, errors.New("compile: the compiler made no module")
	}
	return modules[0].Raw, nil
}
