package limits_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// limited is a container with these limits.
func limited(limits string) string {
	return `{"containers":[{"name":"a","image":"registry.example/a:1","resources":{"limits":` + limits + `}}]}`
}

func TestPolicy(t *testing.T) {
	const both = `{"cpu":"1","memory":"1Gi"}`
	tests := map[string]struct {
		settings, spec string
		want           []string // in any order; nothing accepts
	}{
		"at the bound":           {both, limited(`{"cpu":"1000m","memory":"1024Mi"}`), nil},
		"below it":               {both, limited(`{"cpu":".5","memory":"1.G"}`), nil},
		"above it":               {both, limited(`{"cpu":"1001m","memory":"1.1Gi"}`), []string{`container "a": cpu limit 1001m is above 1`, `container "a": memory limit 1.1Gi is above 1Gi`}},
		"numbers":                {`{"cpu":2,"memory":1000}`, limited(`{"cpu":2,"memory":1001}`), []string{`container "a": memory limit 1001 is above 1000`}},
		"no limits":              {both, `{"containers":[{"name":"a"}]}`, []string{`container "a" has no cpu limit`, `container "a" has no memory limit`}},
		"of init containers":     {`{"cpu":"1"}`, `{"initContainers":[{"name":"b"}],"containers":[]}`, []string{`container "b" has no cpu limit`}},
		"one is not looked at":   {`{"memory":"1Gi"}`, limited(`{"cpu":"100","memory":"1Mi"}`), nil},
		"nothing is looked at":   {`{}`, `{"containers":[{"name":"a"}]}`, nil},
		"a limit in words":       {`{"cpu":"1"}`, limited(`{"cpu":"much"}`), []string{`container "a": cpu limit much is not a quantity`}},
		"an exponent":            {`{"memory":"1e3"}`, limited(`{"memory":"1.001E3"}`), []string{`container "a": memory limit 1.001E3 is above 1e3`}},
		"the largest":            {`{"memory":"1Ei"}`, limited(`{"memory":"1E"}`), nil},
		"tiny ones":              {`{"cpu":"1u"}`, limited(`{"cpu":"1001n"}`), []string{`container "a": cpu limit 1001n is above 1u`}},
		"binary ones":            {`{"memory":1048575}`, limited(`{"memory":"1024Ki"}`), []string{`container "a": memory limit 1024Ki is above 1048575`}},
		"a setting in words":     {`{"memory":"much"}`, limited(`{"memory":"1"}`), []string{`setting "memory": "much" is not a quantity`}},
		"a setting of no use":    {`{"disk":"1Gi"}`, limited(`{}`), []string{`unknown setting "disk", allowed are: cpu, exempt_images, memory`}},
		"an exempt image":        {`{"cpu":"1","exempt_images":["registry.example/a:1"]}`, limited(`{}`), nil},
		"exempt images":          {`{"cpu":"1","exempt_images":["registry.example/*"]}`, limited(`{}`), nil},
		"images of another path": {`{"cpu":"1","exempt_images":["registry.example/b*"]}`, limited(`{}`), []string{`container "a" has no cpu limit`}},
	}
	module := policiestest.Compiled(t, "container-limits")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			request := fmt.Appendf(nil, `{"kind":{"group":"","kind":"Pod"},"object":{"spec":%s}}`, tc.spec)
			response, err := module.Validate(t.Context(), policy.Call{Settings: json.RawMessage(tc.settings)}, json.RawMessage(request))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			if response.Message != nil {
				got = slices.Sorted(strings.SplitSeq(*response.Message, ", container"))
				for i := range got {
					if strings.HasPrefix(got[i], " ") {
						got[i] = "container" + got[i]
					}
				}
				slices.Sort(got)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || response.Accepted != (tc.want == nil) {
				t.Errorf("accepted %v: -want +got\n%s", response.Accepted, diff)
			}
		})
	}
}

func TestPolicyReadsQuantities(t *testing.T) {
	const beyond = `container "a": cpu limit %s is above 1`
	module := policiestest.Compiled(t, "container-limits")
	for text, want := range map[string]string{
		"1": "", "1.": "", ".5": "", "0.5": "", "1000m": "", "0001": "", "1e0": "", "10e-1": "", "1E-3k": "", "0Ei": "",
		"2": beyond, "2.": beyond, "1.5": beyond, "1e+1": beyond, "1E1": beyond, "1E": beyond, "1Ki": beyond, "1e3m": "", "11e2m": beyond,
	} {
		limit(t, module, text, strings.ReplaceAll(want, "%s", text))
	}
	for _, text := range []string{
		"", ".", "m", "E", "e3", "-1", "+1", "1e", "1e+", "1e3.5", "1..", "1.1.", "..1", "1 ", " 1", "1_0", "0x1", "1K", "1i", "1Kim", "1mm", "1e3e3", "inf", "NaN", "ä", "1ä", "one",
	} {
		limit(t, module, text, fmt.Sprintf(`container "a": cpu limit %s is not a quantity`, text))
	}
}

// limit asks about a container with a limit of CPU where the most is 1.
func limit(t *testing.T, module *policy.Module, text, want string) {
	t.Helper()
	request := fmt.Appendf(nil, `{"kind":{"kind":"Pod"},"object":{"spec":%s}}`, limited(fmt.Sprintf(`{"cpu":%q}`, text)))
	response, err := module.Validate(t.Context(), policy.Call{Settings: json.RawMessage(`{"cpu":1}`)}, request)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if response.Message != nil {
		got = *response.Message
	}
	if got != want {
		t.Errorf("%q: got %q, want %q", text, got, want)
	}
}

func TestPolicyOnWorkloads(t *testing.T) {
	module := policiestest.Compiled(t, "container-limits")
	for kind, object := range map[string]string{
		"Deployment": `{"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}`,
		"CronJob":    `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}}}`,
	} {
		request := fmt.Appendf(nil, `{"kind":{"kind":%q},"object":%s}`, kind, object)
		response, err := module.Validate(t.Context(), policy.Call{Settings: json.RawMessage(`{"cpu":"1"}`)}, request)
		if err != nil || response.Accepted {
			t.Errorf("%s: got %+v, %v, want a denial", kind, response, err)
		}
	}
}
