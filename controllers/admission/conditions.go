package admission

import (
	"errors"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"
	celplugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// maxMatchConditions is the API server's.
const maxMatchConditions = 64

// conditionCompiler makes the API server's own compiler for match conditions. The
// environments that it holds take some time to build, and are built when first needed.
var conditionCompiler = sync.OnceValue(func() celplugin.Compiler {
	return celplugin.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
})

// validateMatchConditions compiles match conditions as the API server does when it takes a
// webhook configuration.
func validateMatchConditions(conditions []policiesv1.MatchCondition) field.ErrorList {
	path := field.NewPath("spec", "matchConditions")
	var failures field.ErrorList
	if len(conditions) > maxMatchConditions {
		failures = append(failures, field.TooMany(path, len(conditions), maxMatchConditions))
	}
	names := map[string]bool{}
	for i, condition := range conditions {
		at := path.Index(i)
		if failure := validateExpression(at.Child("expression"), condition); failure != nil {
			failures = append(failures, failure)
		}
		switch {
		case condition.Name == "":
			failures = append(failures, field.Required(at.Child("name"), ""))
		case names[condition.Name]:
			failures = append(failures, field.Duplicate(at.Child("name"), condition.Name))
		}
		names[condition.Name] = true
	}
	return failures
}

func validateExpression(path *field.Path, condition policiesv1.MatchCondition) *field.Error {
	expression := strings.TrimSpace(condition.Expression)
	if expression == "" {
		return field.Required(path, "")
	}
	result := conditionCompiler().CompileCELExpression(
		&matchconditions.MatchCondition{Name: condition.Name, Expression: expression},
		celplugin.OptionalVariableDeclarations{HasAuthorizer: true},
		environment.NewExpressions,
	)
	switch {
	case result.Error == nil:
		return nil
	case result.Error.Type == apiservercel.ErrorTypeRequired:
		return field.Required(path, result.Error.Detail)
	case result.Error.Type == apiservercel.ErrorTypeInternal:
		return field.InternalError(path, errors.New(result.Error.Detail))
	default:
		return field.Invalid(path, condition.Expression, result.Error.Detail)
	}
}
