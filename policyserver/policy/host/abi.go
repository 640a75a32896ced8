package host

import (
	"unicode/utf8"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Bounds on a host call.
const (
	maxPayload = 16 << 20
	maxName    = 64 << 10
)

// ReadCall reads a host call as guests of several modes make it: by eight i32, which are
// address and length of binding, namespace, operation and payload.
func ReadCall(memory sandbox.Memory, parameters []uint64) (Call, error) {
	var names [3]string
	for i, what := range []string{"binding", "namespace", "operation"} {
		name, err := sandbox.Argument{What: what, Limit: maxName}.Read(memory, parameters[2*i:])
		if err != nil {
			return Call{}, err
		}
		if !utf8.Valid(name) {
			return Call{}, sandbox.Violationf("%s is not valid UTF-8", what)
		}
		names[i] = string(name)
	}
	payload, err := sandbox.Argument{What: "payload", Limit: maxPayload}.Read(memory, parameters[6:])
	if err != nil {
		return Call{}, err
	}
	return Call{Binding: names[0], Namespace: names[1], Operation: names[2], Payload: payload}, nil
}
