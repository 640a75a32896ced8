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

// The policies of this project give the verdicts they should when they really run.
func TestPolicies(t *testing.T) {
	tests := map[string]struct {
		policy   string
		settings string
		request  json.RawMessage
		want     protocol.ValidationResponse
	}{
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
