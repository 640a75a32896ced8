package wapc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// A question may be longer than the room that a module has made for questions.
func TestQuestionsOfAnyLength(t *testing.T) {
	module := policiestest.Compiled(t, "pod-privileged")
	for _, bytes := range []int{0, 4 << 10, 63 << 10, 64 << 10, 65 << 10, 1 << 20, 100} {
		for _, privileged := range []bool{false, true} {
			request := fmt.Appendf(nil, `{"kind":{"kind":"Pod"},"object":{"metadata":{"name":"%s"},"spec":{"containers":[{"securityContext":{"privileged":%v}}]}}}`,
				strings.Repeat("a", bytes), privileged)
			response, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(request))
			if err != nil || response.Accepted == privileged {
				t.Errorf("%d bytes, privileged %v: got %v, %v", bytes, privileged, response.Accepted, err)
			}
		}
	}
}

func TestErrorsReachTheHost(t *testing.T) {
	module := policiestest.Compiled(t, "pod-privileged")
	_, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{"kind":{"kind":"Pod"},"object":[]}`))
	if want := "internal server error: Guest call failure: decode Pod: got [], want an object"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
