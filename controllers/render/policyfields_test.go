package render_test

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Where things are in the children of a policy.
const (
	hook  = "Webhook.webhooks[0]."
	entry = "policies.yml[*]."
)

// policyChildren are what a policy is read from by its policy server, and its webhook.
func policyChildren[P policiesv1.Policy](t *testing.T, policy P) []render.Object {
	t.Helper()
	id, rendered, err := render.Entry(policy, server())
	if err != nil {
		t.Fatal(err)
	}
	in := serverInput()
	in.Policies = contract.Policies{id: rendered}
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	return []render.Object{configMap, mustWebhook(t, webhookInput(policy))}
}

// plainAdmission has one of everything that has fields of its own.
func plainAdmission() policiesv1.AdmissionSpec {
	spec := policy().Spec.AdmissionSpec
	spec.MatchConditions = []policiesv1.MatchCondition{{Name: "not-dry-run", Expression: "!request.dryRun"}}
	return spec
}

func plainMember() policiesv1.ContextAwareGroupMember {
	return policiesv1.ContextAwareGroupMember{
		GroupMember:           member("verify"),
		ContextAwareResources: []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Secret"}},
	}
}

func clusterAdmissionPolicyFields() aFieldTable {
	type spec = policiesv1.ClusterAdmissionPolicySpec
	return fieldTable[*policiesv1.ClusterAdmissionPolicy, spec]{
		base: func() *policiesv1.ClusterAdmissionPolicy {
			policy := policy()
			policy.SetGroupVersionKind(policiesv1.GroupVersion.WithKind("ClusterAdmissionPolicy"))
			policy.Spec.AdmissionSpec = plainAdmission()
			policy.Spec.ContextAwareResources = []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}}
			return policy
		},
		spec:     func(policy *policiesv1.ClusterAdmissionPolicy) *spec { return &policy.Spec },
		children: policyChildren[*policiesv1.ClusterAdmissionPolicy],
		rows: join(
			within(admissionRows(), "", func(s *spec, set func(*policiesv1.AdmissionSpec)) { set(&s.AdmissionSpec) }),
			within(policyRows(), "", func(s *spec, set func(*policiesv1.PolicySpec)) { set(&s.PolicySpec) }),
			within(contextAwareRows(entry), "contextAwareResources[].", func(s *spec, set func(*policiesv1.ContextAwareResource)) {
				set(&s.ContextAwareResources[0])
			}),
			map[string]fieldRow[spec]{
				"namespaceSelector": {
					set: func(s *spec) { s.NamespaceSelector = bothSelectors() }, want: addedNamespaceSelector(),
				},
				"allowInsideAdmissionControllerNamespace": {
					set: func(s *spec) { s.AllowInsideAdmissionControllerNamespace = true }, want: operatorsNamespaceIn(),
				},
			}),
	}
}

// tenantsPolicy is an AdmissionPolicy.
func tenantsPolicy() *policiesv1.AdmissionPolicy {
	policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "labels"}}
	policy.SetGroupVersionKind(policiesv1.GroupVersion.WithKind("AdmissionPolicy"))
	policy.Spec.AdmissionSpec = plainAdmission()
	policy.Spec.Module = "registry://registry.example.com/policies/pod-privileged:v1"
	return policy
}

func admissionPolicyFields() aFieldTable {
	type spec = policiesv1.AdmissionPolicySpec
	return fieldTable[*policiesv1.AdmissionPolicy, spec]{
		base:     tenantsPolicy,
		spec:     func(policy *policiesv1.AdmissionPolicy) *spec { return &policy.Spec },
		children: policyChildren[*policiesv1.AdmissionPolicy],
		rows: join(
			within(join(admissionRows(), namespacedRows()), "", func(s *spec, set func(*policiesv1.AdmissionSpec)) { set(&s.AdmissionSpec) }),
			within(policyRows(), "", func(s *spec, set func(*policiesv1.PolicySpec)) { set(&s.PolicySpec) })),
	}
}

func clusterAdmissionPolicyGroupFields() aFieldTable {
	type spec = policiesv1.ClusterAdmissionPolicyGroupSpec
	inMember := func(s *spec, change func(*policiesv1.ContextAwareGroupMember)) {
		member := s.Policies["signed"]
		change(&member)
		s.Policies["signed"] = member
	}
	return fieldTable[*policiesv1.ClusterAdmissionPolicyGroup, spec]{
		base: func() *policiesv1.ClusterAdmissionPolicyGroup {
			group := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "images"}}
			group.SetGroupVersionKind(policiesv1.GroupVersion.WithKind("ClusterAdmissionPolicyGroup"))
			group.Spec.PolicyGroupSpec = plainGroup()
			group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{"signed": plainMember()}
			return group
		},
		spec:     func(group *policiesv1.ClusterAdmissionPolicyGroup) *spec { return &group.Spec },
		children: policyChildren[*policiesv1.ClusterAdmissionPolicyGroup],
		rows: join(
			within(admissionRows(), "", func(s *spec, set func(*policiesv1.AdmissionSpec)) { set(&s.AdmissionSpec) }),
			within(groupRows(), "", func(s *spec, set func(*policiesv1.PolicyGroupSpec)) { set(&s.PolicyGroupSpec) }),
			within(memberRows(), "policies[].", func(s *spec, set func(*policiesv1.GroupMember)) {
				inMember(s, func(member *policiesv1.ContextAwareGroupMember) { set(&member.GroupMember) })
			}),
			within(contextAwareRows(entry+"policies.signed."), "policies[].contextAwareResources[].",
				func(s *spec, set func(*policiesv1.ContextAwareResource)) {
					inMember(s, func(member *policiesv1.ContextAwareGroupMember) { set(&member.ContextAwareResources[0]) })
				}),
			map[string]fieldRow[spec]{
				"namespaceSelector": {
					set: func(s *spec) { s.NamespaceSelector = bothSelectors() }, want: addedNamespaceSelector(),
				},
				"allowInsideAdmissionControllerNamespace": {
					set: func(s *spec) { s.AllowInsideAdmissionControllerNamespace = true }, want: operatorsNamespaceIn(),
				},
			}),
	}
}

func admissionPolicyGroupFields() aFieldTable {
	type spec = policiesv1.AdmissionPolicyGroupSpec
	return fieldTable[*policiesv1.AdmissionPolicyGroup, spec]{
		base: func() *policiesv1.AdmissionPolicyGroup {
			group := &policiesv1.AdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "images"}}
			group.SetGroupVersionKind(policiesv1.GroupVersion.WithKind("AdmissionPolicyGroup"))
			group.Spec.PolicyGroupSpec = plainGroup()
			group.Spec.Policies = map[string]policiesv1.GroupMember{"signed": member("verify")}
			return group
		},
		spec:     func(group *policiesv1.AdmissionPolicyGroup) *spec { return &group.Spec },
		children: policyChildren[*policiesv1.AdmissionPolicyGroup],
		rows: join(
			within(join(admissionRows(), namespacedRows()), "", func(s *spec, set func(*policiesv1.AdmissionSpec)) { set(&s.AdmissionSpec) }),
			within(groupRows(), "", func(s *spec, set func(*policiesv1.PolicyGroupSpec)) { set(&s.PolicyGroupSpec) }),
			within(memberRows(), "policies[].", func(s *spec, set func(*policiesv1.GroupMember)) {
				member := s.Policies["signed"]
				set(&member)
				s.Policies["signed"] = member
			})),
	}
}

func plainGroup() policiesv1.PolicyGroupSpec {
	return policiesv1.PolicyGroupSpec{AdmissionSpec: plainAdmission(), Expression: "signed()", Message: "the image must be signed"}
}

// admissionRows are the fields that all kinds share.
func admissionRows() map[string]fieldRow[policiesv1.AdmissionSpec] {
	type spec = policiesv1.AdmissionSpec
	return join(ruleRows(), map[string]fieldRow[spec]{
		// Whose policies.yml the entry is in is for those to decide who read policies.
		"policyServer": {
			set:  func(s *spec) { s.PolicyServer = "reserved" },
			want: changes{hook + "clientConfig.service.name": `"policy-server-reserved"`},
		},
		"mode": {
			set:  func(s *spec) { s.Mode = policiesv1.PolicyModeMonitor },
			want: changes{entry + "policyMode": `"monitor"`},
		},
		"failurePolicy": {
			set:  func(s *spec) { s.FailurePolicy = new(admissionregistrationv1.Ignore) },
			want: changes{hook + "failurePolicy": `"Ignore"`},
		},
		"backgroundAudit": {
			set:     func(s *spec) { s.BackgroundAudit = new(false) },
			nothing: "the audit scanner reads it from the policy itself",
		},
		"matchPolicy": {
			set:  func(s *spec) { s.MatchPolicy = new(admissionregistrationv1.Exact) },
			want: changes{hook + "matchPolicy": `"Exact"`},
		},
		"matchConditions[].name": {
			set: func(s *spec) { s.MatchConditions[0].Name = "wet-run" },
			want: changes{
				hook + "matchConditions[wet-run].name":           `"wet-run"`,
				hook + "matchConditions[wet-run].expression":     `"!request.dryRun"`,
				hook + "matchConditions[not-dry-run].name":       gone,
				hook + "matchConditions[not-dry-run].expression": gone,
			},
		},
		"matchConditions[].expression": {
			set:  func(s *spec) { s.MatchConditions[0].Expression = "object != null" },
			want: changes{hook + "matchConditions[not-dry-run].expression": `"object != null"`},
		},
		"objectSelector": {
			set: func(s *spec) { s.ObjectSelector = bothSelectors() },
			want: changes{
				hook + "objectSelector.matchLabels.env":              `"production"`,
				hook + "objectSelector.matchExpressions[0].key":      `"team"`,
				hook + "objectSelector.matchExpressions[0].operator": `"In"`,
				hook + "objectSelector.matchExpressions[0].values":   `["red","blue"]`,
			},
		},
		"sideEffects": {
			set:  func(s *spec) { s.SideEffects = new(admissionregistrationv1.SideEffectClassNoneOnDryRun) },
			want: changes{hook + "sideEffects": `"NoneOnDryRun"`},
		},
		"timeoutSeconds": {
			set:  func(s *spec) { s.TimeoutSeconds = new(int32(7)) },
			want: changes{hook + "timeoutSeconds": `7`},
		},
	})
}

func ruleRows() map[string]fieldRow[policiesv1.AdmissionSpec] {
	type spec = policiesv1.AdmissionSpec
	return map[string]fieldRow[spec]{
		"rules[].operations": {
			set: func(s *spec) {
				s.Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Delete, admissionregistrationv1.Connect}
			},
			want: changes{hook + "rules[0].operations": `["DELETE","CONNECT"]`},
		},
		"rules[].apiGroups": {
			set:  func(s *spec) { s.Rules[0].APIGroups = []string{"apps", "batch"} },
			want: changes{hook + "rules[0].apiGroups": `["apps","batch"]`},
		},
		"rules[].apiVersions": {
			set:  func(s *spec) { s.Rules[0].APIVersions = []string{"v1", "v1beta1"} },
			want: changes{hook + "rules[0].apiVersions": `["v1","v1beta1"]`},
		},
		"rules[].resources": {
			set:  func(s *spec) { s.Rules[0].Resources = []string{"pods/log", "secrets"} },
			want: changes{hook + "rules[0].resources": `["pods/log","secrets"]`},
		},
		"rules[].scope": {
			set:  func(s *spec) { s.Rules[0].Scope = new(admissionregistrationv1.NamespacedScope) },
			want: changes{hook + "rules[0].scope": `"Namespaced"`},
		},
	}
}

// namespacedRows are the fields that namespaced kinds treat otherwise.
func namespacedRows() map[string]fieldRow[policiesv1.AdmissionSpec] {
	return map[string]fieldRow[policiesv1.AdmissionSpec]{
		"rules[].scope": {
			set:     func(s *policiesv1.AdmissionSpec) { s.Rules[0].Scope = new(admissionregistrationv1.ClusterScope) },
			nothing: "nothing outside of its namespace is a tenant's to judge: the scope is Namespaced, whatever it says",
		},
	}
}

// policyRows are the fields of a policy that is no group.
func policyRows() map[string]fieldRow[policiesv1.PolicySpec] {
	type spec = policiesv1.PolicySpec
	return map[string]fieldRow[spec]{
		"module": {
			set:  func(s *spec) { s.Module = "https://example.com/policy.wasm" },
			want: changes{entry + "module": `"https://example.com/policy.wasm"`},
		},
		"settings": {
			set: func(s *spec) { s.Settings = someSettings() },
			want: changes{
				entry + "settings":        gone, // it is null as long as there are none
				entry + "settings.limit":  `18446744073709551615`,
				entry + "settings.labels": `["owner"]`,
			},
		},
		"mutating": {
			set: func(s *spec) { s.Mutating = true },
			want: changes{
				entry + "allowedToMutate":   `true`,
				"Webhook.kind":              `"MutatingWebhookConfiguration"`,
				hook + "reinvocationPolicy": `"Never"`,
			},
		},
		"timeoutEvalSeconds": {
			set:  func(s *spec) { s.TimeoutEvalSeconds = new(int32(5)) },
			want: changes{entry + "timeoutEvalSeconds": `5`},
		},
		"message": {
			set:  func(s *spec) { s.Message = "ask the security team" },
			want: changes{entry + "message": `"ask the security team"`},
		},
	}
}

func groupRows() map[string]fieldRow[policiesv1.PolicyGroupSpec] {
	type spec = policiesv1.PolicyGroupSpec
	return map[string]fieldRow[spec]{
		"expression": {
			set:  func(s *spec) { s.Expression = "!signed()" },
			want: changes{entry + "expression": `"!signed()"`},
		},
		"message": {
			set:  func(s *spec) { s.Message = "ask the security team" },
			want: changes{entry + "message": `"ask the security team"`},
		},
	}
}

// memberRows are the fields of the member "signed" of a group.
func memberRows() map[string]fieldRow[policiesv1.GroupMember] {
	type spec = policiesv1.GroupMember
	const member = entry + "policies.signed."
	return map[string]fieldRow[spec]{
		"module": {
			set:  func(s *spec) { s.Module = "https://example.com/policy.wasm" },
			want: changes{member + "module": `"https://example.com/policy.wasm"`},
		},
		"settings": {
			set: func(s *spec) { s.Settings = someSettings() },
			want: changes{
				member + "settings":        gone, // it is null as long as there are none
				member + "settings.limit":  `18446744073709551615`,
				member + "settings.labels": `["owner"]`,
			},
		},
		"timeoutEvalSeconds": {
			set:  func(s *spec) { s.TimeoutEvalSeconds = new(int32(5)) },
			want: changes{member + "timeoutEvalSeconds": `5`},
		},
	}
}

// contextAwareRows are the fields of a kind that the owner, a policy or a member, may read.
func contextAwareRows(owner string) map[string]fieldRow[policiesv1.ContextAwareResource] {
	type spec = policiesv1.ContextAwareResource
	return map[string]fieldRow[spec]{
		"apiVersion": {
			set:  func(s *spec) { s.APIVersion = "apps/v1" },
			want: changes{owner + "contextAwareResources[0].apiVersion": `"apps/v1"`},
		},
		"kind": {
			set:  func(s *spec) { s.Kind = "Pod" },
			want: changes{owner + "contextAwareResources[0].kind": `"Pod"`},
		},
	}
}

// someSettings have a number that no float64 holds.
func someSettings() runtime.RawExtension {
	return runtime.RawExtension{Raw: []byte(`{"labels":["owner"],"limit":18446744073709551615}`)}
}

func bothSelectors() *metav1.LabelSelector {
	return &metav1.LabelSelector{
		MatchLabels: map[string]string{"env": "production"},
		MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []string{"red", "blue"}},
		},
	}
}

// addedNamespaceSelector is bothSelectors beside what keeps the operator's namespace out.
func addedNamespaceSelector() changes {
	return changes{
		hook + "namespaceSelector.matchLabels.env":              `"production"`,
		hook + "namespaceSelector.matchExpressions[1].key":      `"team"`,
		hook + "namespaceSelector.matchExpressions[1].operator": `"In"`,
		hook + "namespaceSelector.matchExpressions[1].values":   `["red","blue"]`,
	}
}

// operatorsNamespaceIn is without what keeps the operator's namespace out.
func operatorsNamespaceIn() changes {
	return changes{
		hook + "namespaceSelector.matchExpressions[0].key":      gone,
		hook + "namespaceSelector.matchExpressions[0].operator": gone,
		hook + "namespaceSelector.matchExpressions[0].values":   gone,
	}
}
