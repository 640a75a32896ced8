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
			id, got, err := render.Entry(tc.policy, nil)
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
			_, _, err := render.Entry(policy(tc.mutate), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "kw.cap.no-privileged-pods") {
				t.Errorf("got error %v, want one that names the policy and says %q", err, tc.want)
			}
		})
	}
}

func TestPolicyIDs(t *testing.T) {
	for want, policy := range map[string]policiesv1.Policy{
		"kw.cap.no-privileged-pods": policy(),
		"kw.ap.shop.labels":         namespacedPolicy(),
		"kw.capg.images":            group(),
		"kw.apg.shop.images":        namespacedGroup(),
	} {
		if got, err := render.PolicyID(policy); err != nil || got != want {
			t.Errorf("got ID %q and error %v, want %q", got, err, want)
		}
	}
}

// TestHostCapabilities holds that a tenant gets no more than the PolicyServer grants, and
// nothing by default.
func TestHostCapabilities(t *testing.T) {
	granting := server(func(spec *policiesv1.PolicyServerSpec) {
		spec.NamespacedPoliciesCapabilities = []policiesv1.HostCapability{"oci/*", "kubernetes/can_i"}
	})
	everything, granted, none := []string{"*"}, []string{"oci/*", "kubernetes/can_i"}, []string{}
	tests := map[string]struct {
		policy policiesv1.Policy
		server *policiesv1.PolicyServer
		want   []string
	}{
		"cluster-wide policy":                  {policy(), server(), everything},
		"cluster-wide group":                   {group(), granting, everything},
		"namespaced policy, nothing granted":   {namespacedPolicy(), server(), none},
		"namespaced policy, something granted": {namespacedPolicy(), granting, granted},
		"namespaced policy, no server":         {namespacedPolicy(), nil, none},
		"namespaced group, nothing granted":    {namespacedGroup(), server(), none},
		"namespaced group, something granted":  {namespacedGroup(), granting, granted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, entry, err := render.Entry(tc.policy, tc.server)
			if err != nil {
				t.Fatalf("render the entry: %v", err)
			}
			got := [][]string{}
			want := [][]string{tc.want}
			if entry.IsGroup() {
				if len(entry.HostCapabilities) > 0 {
					t.Errorf("the group itself has capabilities %v, want none: its members have", entry.HostCapabilities)
				}
				want = [][]string{tc.want, tc.want}
				for _, member := range entry.Policies {
					got = append(got, member.HostCapabilities)
				}
			} else {
				got = append(got, entry.HostCapabilities)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("capabilities (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntryRefusesAGroupThatNoServerCouldRead(t *testing.T) {
	empty := namespacedGroup()
	empty.Spec.Policies, empty.Spec.Expression = nil, ""
	broken := group()
	settings := broken.Spec.Policies["signed"]
	settings.Settings.Raw = []byte("{")
	broken.Spec.Policies["signed"] = settings
	for name, policy := range map[string]policiesv1.Policy{
		"no members":                empty,
		"settings that are no JSON": broken,
	} {
		t.Run(name, func(t *testing.T) {
			if _, entry, err := render.Entry(policy, nil); err == nil {
				t.Errorf("got %+v, want an error", entry)
			}
		})
	}
}

func TestPolicyOf(t *testing.T) {
	kinds := []policiesv1.Policy{
		&policiesv1.ClusterAdmissionPolicy{}, &policiesv1.ClusterAdmissionPolicyGroup{},
		&policiesv1.AdmissionPolicy{}, &policiesv1.AdmissionPolicyGroup{},
	}
	tests := map[string]struct {
		kind            int // whose it is; -1 for nobody's
		namespace, name string
	}{
		"kw.cap.labels":         {kind: 0, name: "labels"},
		"kw.cap.labels.v1":      {kind: 0, name: "labels.v1"},
		"kw.capg.labels":        {kind: 1, name: "labels"},
		"kw.ap.team.labels":     {kind: 2, namespace: "team", name: "labels"},
		"kw.ap.team.labels.v1":  {kind: 2, namespace: "team", name: "labels.v1"},
		"kw.apg.team.labels":    {kind: 3, namespace: "team", name: "labels"},
		"kw.cap.":               {kind: -1},
		"kw.ap.team":            {kind: -1},
		"kw.ap..labels":         {kind: -1},
		"kubewarden-operator":   {kind: -1},
		"cert-manager-webhook":  {kind: -1},
		"x.kw.cap.labels":       {kind: -1},
		"kw.capx.labels.kw.cap": {kind: -1},
	}
	for id, tc := range tests {
		t.Run(id, func(t *testing.T) {
			for i, kind := range kinds {
				namespace, name, ok := render.PolicyOf(kind, id)
				if ok != (i == tc.kind) {
					t.Errorf("%T: got %t", kind, ok)
				}
				if ok && (namespace != tc.namespace || name != tc.name) {
					t.Errorf("%T: got %q, %q, want %q, %q", kind, namespace, name, tc.namespace, tc.name)
				}
			}
		})
	}
}
