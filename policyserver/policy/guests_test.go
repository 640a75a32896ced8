package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// admission is an AdmissionRequest for a Pod of about that many bytes.
func admission(bytes int, privileged bool, labels string) json.RawMessage {
	container := fmt.Sprintf(`{"name":"main","image":"registry.example/app:1.2.3","securityContext":{"privileged":%v}}`, privileged)
	const side = `{"name":"side","image":"registry.example/side:4.5.6","env":[{"name":"MODE","value":"careful"}],` +
		`"resources":{"limits":{"cpu":"500m","memory":"128Mi"}},"ports":[{"containerPort":8080}]},`
	return fmt.Appendf(nil, `{"uid":"1299d386-525b-4032-98ae-1949f69f9cfc","kind":{"group":"","version":"v1","kind":"Pod"},`+
		`"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","userInfo":{"username":"alice"},`+
		`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app","namespace":"default","labels":%s},`+
		`"spec":{"containers":[%s%s]}},"oldObject":null,"dryRun":false}`,
		labels, strings.Repeat(side, bytes/len(side)), container)
}

// realModules keeps the compiled policies of this project: all tests share them, since
// compiling one takes a second.
var realModules = struct {
	sync.Mutex
	engine  *policy.Engine
	modules map[string]*policy.Module
}{modules: map[string]*policy.Module{}}

func realModule(t *testing.T, name string) *policy.Module {
	t.Helper()
	realModules.Lock()
	defer realModules.Unlock()
	if module, compiled := realModules.modules[name]; compiled {
		return module
	}
	if realModules.engine == nil {
		engine, err := policy.NewEngine(context.Background(), policy.Config{})
		if err != nil {
			t.Fatal(err)
		}
		realModules.engine = engine
	}
	module := compile(t, realModules.engine, policiestest.Module(t, name))
	realModules.modules[name] = module
	return module
}

// policyTest is a question to a policy of this project.
type policyTest struct {
	policy   string
	settings string
	request  json.RawMessage
	want     protocol.ValidationResponse
}

// service is an AdmissionRequest for a Service.
func service(kind string) json.RawMessage {
	return fmt.Appendf(nil, `{"uid":"1299d386-525b-4032-98ae-1949f69f9cfc","kind":{"group":"","version":"v1","kind":"Service"},`+
		`"operation":"CREATE","object":{"apiVersion":"v1","kind":"Service","spec":{"type":%q,"ports":[{"port":80}]}}}`, kind)
}

// The policies of this project give the verdicts they should when they really run.
func TestPolicies(t *testing.T) {
	tests := map[string]policyTest{
		"a privileged Pod": {
			policy: "pod-privileged", request: admission(5000, true, `{}`),
			want: protocol.ValidationResponse{Message: new("Privileged container is not allowed")},
		},
		"an innocent Pod": {
			policy: "pod-privileged", request: admission(5000, false, `{}`),
			want: protocol.ValidationResponse{Accepted: true},
		},
		"a Pod with its label": {
			policy: "required-labels", settings: `{"mandatory_labels":["team"]}`, request: admission(50_000, true, `{"team":"a"}`),
			want: protocol.ValidationResponse{Accepted: true},
		},
		"a Pod without": {
			policy: "required-labels", settings: `{"mandatory_labels":["team"],"constrained_labels":{"env":"^(dev|prod)$"}}`,
			request: admission(0, true, `{"env":"qa"}`),
			want: protocol.ValidationResponse{
				Message: new(`mandatory label "team" is missing; label "env" has value "qa", which does not match "^(dev|prod)$"`),
			},
		},
	}
	tests["a Service that opens a port on every node"] = policyTest{
		policy: "disallow-service-nodeport", request: service("NodePort"),
		want: protocol.ValidationResponse{Status: &protocol.Status{Message: new("Services of type NodePort are not allowed")}},
	}
	tests["a Service of the cluster"] = policyTest{
		policy: "disallow-service-nodeport", request: service("ClusterIP"), want: protocol.ValidationResponse{Accepted: true},
	}
	tests["a container without limits"] = policyTest{
		policy: "container-limits", settings: `{"cpu":"1","memory":"1Gi"}`, request: admission(5000, false, `{}`),
		want: protocol.ValidationResponse{Message: new(`container "main" has no memory limit, container "main" has no cpu limit`)},
	}
	tests["limits that are not looked at"] = policyTest{
		policy: "container-limits", request: admission(5000, false, `{}`), want: protocol.ValidationResponse{Accepted: true},
	}
	tests["an image from elsewhere"] = policyTest{
		policy: "trusted-registries", settings: `{"registries":["registry.example/side"]}`, request: admission(200, false, `{}`),
		want: protocol.ValidationResponse{Message: new(`container "main": image "registry.example/app:1.2.3" is not from a trusted registry`)},
	}
	tests["images that are trusted"] = policyTest{
		policy: "trusted-registries", settings: `{"registries":["registry.example"]}`, request: admission(5000, false, `{}`),
		want: protocol.ValidationResponse{Accepted: true},
	}
	tests["a raw request"] = policyTest{
		policy: "raw-validation", settings: `{"validUsers":["tonio"],"validActions":["eats"],"validResources":["hay"]}`,
		request: json.RawMessage(`{"user":"tonio","action":"eats","resource":"banana"}`),
		want:    protocol.ValidationResponse{Message: new(`resource "banana" is not allowed`)},
	}
	tests["a capability to be dropped"] = policyTest{
		policy: "drop-capabilities", settings: `{"required_drop_capabilities":["NET_ADMIN"]}`,
		request: json.RawMessage(`{"kind":{"group":"","version":"v1","kind":"Pod"},"object":{"spec":{"containers":[{"name":"a"}],"n":1.50}}}`),
		want: protocol.ValidationResponse{
			Accepted:      true,
			MutatedObject: json.RawMessage(`{"spec":{"containers":[{"name":"a","securityContext":{"capabilities":{"drop":["NET_ADMIN"]}}}],"n":1.50}}`),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := realModule(t, tc.policy)
			call := policy.Call{PolicyID: "kw.cap.mine", Settings: json.RawMessage(tc.settings)}
			settings, err := module.ValidateSettings(t.Context(), call)
			checkError(t, err, nil)
			if !settings.Valid {
				t.Errorf("settings are invalid: %s", *settings.Message)
			}
			got, err := module.Validate(t.Context(), call, tc.request)
			checkError(t, err, nil)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestPolicyNamesTheMistakeInItsSettings(t *testing.T) {
	module := realModule(t, "required-labels")
	got, err := module.ValidateSettings(t.Context(), policy.Call{Settings: json.RawMessage(`{"required":["team"]}`)})
	checkError(t, err, nil)
	want := protocol.SettingsValidationResponse{
		Message: new(`unknown setting "required", allowed are: mandatory_labels, denied_labels, constrained_labels`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Calls of one module do not see each other.
func TestPolicyCalledByManyAtOnce(t *testing.T) {
	module := realModule(t, "pod-privileged")
	var wait sync.WaitGroup
	for k := range 8 {
		wait.Go(func() {
			for i := range 5 {
				privileged := (k+i)%2 == 0
				got, err := module.Validate(t.Context(), policy.Call{}, admission(2000, privileged, `{}`))
				if err != nil || got.Accepted == privileged {
					t.Errorf("privileged %v: got accepted %v, %v", privileged, got.Accepted, err)
				}
			}
		})
	}
	wait.Wait()
}
