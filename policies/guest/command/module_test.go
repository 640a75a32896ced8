package command_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// As a module a command reads and writes by WASI alone.
func TestModuleTakesQuestionsOfAnyLength(t *testing.T) {
	module := policiestest.Compiled(t, "trusted-registries")
	for _, bytes := range []int{0, 4 << 10, 63 << 10, 64 << 10, 65 << 10, 1 << 20, 100} {
		for image, want := range map[string]string{"r.test/a": "", "s.test/b": `container "c": image "s.test/b` + strings.Repeat("a", bytes) + `" is not from a trusted registry`} {
			request := fmt.Appendf(nil, `{"kind":{"kind":"Pod"},"object":{"spec":{"containers":[{"name":"c","image":"%s%s"}]}}}`, image, strings.Repeat("a", bytes))
			response, err := module.Validate(t.Context(), policy.Call{Settings: json.RawMessage(`{"registries":["r.test"]}`)}, json.RawMessage(request))
			got := ""
			if response.Message != nil {
				got = *response.Message
			}
			if err != nil || got != want {
				t.Errorf("%s and %d bytes: got %v, %d bytes of message, %v", image, bytes, response.Accepted, len(got), err)
			}
		}
	}
}

func TestModuleSaysWhyItFails(t *testing.T) {
	module := policiestest.Compiled(t, "trusted-registries")
	_, err := module.Validate(t.Context(), policy.Call{Settings: json.RawMessage(`{}`)}, json.RawMessage(`{}`))
	if want := `invalid settings: setting "registries": got nothing, want at least one registry`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
