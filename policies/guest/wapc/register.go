package wapc

import "github.com/kubewarden/kubewarden-operator/policies/guest"

var registered guest.Policy

// Register makes this the policy that the module answers with. It returns something only
// so that it can stand at a package variable: a c-shared module runs no main function.
func Register(policy guest.Policy) struct{} {
	policy.Prepare()
	registered = policy
	return struct{}{}
}
