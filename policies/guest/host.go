package guest

import (
	"errors"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// Host calls a capability of the policy server by its namespace and operation, such as
// kubernetes and get_resource. An error has the host's text.
type Host func(namespace, operation string, payload []byte) ([]byte, error)

// Ask asks the host a question, which is JSON, and reads its answer. A policy that is asked outside of a policy server
// has no host: that is an error, too.
func (r Request) Ask(namespace, operation string, question []byte) (document.Value, error) {
	if r.Host == nil {
		return document.Value{}, fmt.Errorf("ask %s/%s: %w", namespace, operation, errors.New("there is no host"))
	}
	content, err := r.Host(namespace, operation, question)
	if err != nil {
		return document.Value{}, fmt.Errorf("ask %s/%s: %w", namespace, operation, err)
	}
	answer, err := document.Read(content)
	if err != nil {
		return document.Value{}, fmt.Errorf("read the answer of %s/%s: %w", namespace, operation, err)
	}
	return answer, nil
}
