package wapc

import "github.com/kubewarden/kubewarden-operator/policies/guest"

// questionBytes is more than most questions have.
const questionBytes = 64 << 10

var (
	registered guest.Policy
	// room is where questions are read into, one after the other.
	room []byte
)

// Register makes this the policy that the module answers with. It returns something only
// so that it can stand at a package variable: a c-shared module runs no main function.
func Register(policy guest.Policy) struct{} {
	registered = policy.Prepare()
	room = make([]byte, questionBytes)
	return struct{}{}
}
