package guest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Host calls a capability of the policy server by its namespace and operation, such as
// kubernetes and get_resource. An error has the host's text.
type Host func(namespace, operation string, payload []byte) ([]byte, error)

// Ask asks the host and decodes its answer. A policy that is asked outside of a policy server
// has no host: that is an error, too.
func (r Request) Ask(namespace, operation string, question, answer any) error {
	payload, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("ask %s/%s: %w", namespace, operation, err)
	}
	if r.Host == nil {
		return fmt.Errorf("ask %s/%s: %w", namespace, operation, errors.New("there is no host"))
	}
	content, err := r.Host(namespace, operation, payload)
	if err != nil {
		return fmt.Errorf("ask %s/%s: %w", namespace, operation, err)
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("decode the answer of %s/%s: %w", namespace, operation, err)
	}
	return nil
}
