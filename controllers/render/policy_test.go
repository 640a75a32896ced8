package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestEntry(t *testing.T) {
	tests := map[string]struct {
		policy *policiesv1.ClusterAdmissionPolicy
		want   contract.Entry
	}{
		"nothing set": {
			policy: policy(),
			want: contract.Entry{
				NamespacedName:   &contract.NamespacedName{Name: "no-privileged-pods"},
				Module:           "registry://registry.example.com/policies/pod-privileged:v1",
				PolicyMode:       contract.ModeProtect,
				AllowedToMutate:  new(false),
				HostCapabilities: []string{"*"},
			},
		},
		"every field set": {
			policy: policy(everyField),
			want: contract.Entry{
				NamespacedName:        &contract.NamespacedName{Name: "no-privileged-pods"},
				Module:                "registry://registry.example.com/policies/pod-privileged:v1",
				Refresh:               "2026-11-23T10:00:00Z",
				PolicyMode:            contract.ModeMonitor,
				AllowedToMutate:       new(true),
				ContextAwareResources: []contract.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
				Settings:              []byte(`{"mandatory_labels":["owner"],"limit":18446744073709551615}`),
				Message:               "ask the security team",
				TimeoutEvalSeconds:    new(int32(5)),
				HostCapabilities:      []string{"*"},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			id, got, err := render.Entry(tc.policy)
			if err != nil {
				t.Fatalf("render the entry: %v", err)
			}
			if id != "kw.cap.no-privileged-pods" {
				t.Errorf("the ID is %q", id)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntryRefuses(t *testing.T) {
	tests := map[string]struct {
		mutate func(*policiesv1.ClusterAdmissionPolicy)
		want   string
	}{
		"a policy without a module": {
			mutate: func(policy *policiesv1.ClusterAdmissionPolicy) { policy.Spec.Module = "" },
			want:   "neither module nor policies",
		},
		"settings that are no JSON": {
			mutate: func(policy *policiesv1.ClusterAdmissionPolicy) { policy.Spec.Settings.Raw = []byte("{") },
			want:   "settings",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := render.Entry(policy(tc.mutate))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "kw.cap.no-privileged-pods") {
				t.Errorf("got error %v, want one that names the policy and says %q", err, tc.want)
			}
		})
	}
}
