package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

var pods = []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"}}

// boundServer is a PolicyServer with an identity.
func boundServer(name string, mutators ...func(*policiesv1.PolicyServerSpec)) policiesv1.PolicyServer {
	made := *server(mutators...)
	made.Name, made.UID = name, types.UID("uid-of-"+name)
	return made
}

// accountOf is the account that the operator makes for a server.
func accountOf(server *policiesv1.PolicyServer) corev1.ServiceAccount {
	return corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Name: "policy-server-" + server.Name, Namespace: "kubewarden", Labels: map[string]string{render.LabelInstallation: "kubewarden"},
		OwnerReferences: []metav1.OwnerReference{{UID: server.UID, Controller: new(true)}},
	}}
}

// reader is a cluster-wide policy of a server that declares what it reads.
func reader(server string, resources ...policiesv1.ContextAwareResource) policiesv1.Policy {
	policy := &policiesv1.ClusterAdmissionPolicy{}
	policy.Spec.PolicyServer, policy.Spec.ContextAwareResources = server, resources
	return policy
}

func readingGroup(server string) policiesv1.Policy {
	group := &policiesv1.ClusterAdmissionPolicyGroup{}
	group.Spec.PolicyServer = server
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
		"blind":  {},
		"reader": {ContextAwareResources: pods},
	}
	return group
}

func tenantPolicy(server string) policiesv1.Policy {
	policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant"}}
	policy.Spec.PolicyServer = server
	return policy
}

func contextInput(servers []policiesv1.PolicyServer, policies ...policiesv1.Policy) render.ContextWatcherInput {
	in := render.ContextWatcherInput{Config: config(), Installation: installation(), Servers: servers, Policies: policies}
	for i := range servers {
		in.Accounts = append(in.Accounts, accountOf(&servers[i]))
	}
	return in
}

func TestContextWatcher(t *testing.T) {
	servers := []policiesv1.PolicyServer{boundServer("second"), boundServer("idle"), boundServer("first")}
	golden(t, "context-watcher", render.ContextWatcher(contextInput(servers, reader("second", pods...), reader("first", pods...), reader("idle"))))
}

func TestContextWatcherSubjects(t *testing.T) {
	one := boundServer("one")
	granting := func(capabilities ...policiesv1.HostCapability) []policiesv1.PolicyServer {
		return []policiesv1.PolicyServer{boundServer("one", func(spec *policiesv1.PolicyServerSpec) {
			spec.NamespacedPoliciesCapabilities = capabilities
		})}
	}
	changed := func(change func(*corev1.ServiceAccount)) render.ContextWatcherInput {
		in := contextInput([]policiesv1.PolicyServer{one}, reader("one", pods...))
		change(&in.Accounts[0])
		return in
	}
	tests := map[string]struct {
		in   render.ContextWatcherInput
		want []string
	}{
		"a policy declares what it reads":           {contextInput([]policiesv1.PolicyServer{one}, reader("one", pods...)), []string{"policy-server-one"}},
		"a member of a group does":                  {contextInput([]policiesv1.PolicyServer{one}, readingGroup("one")), []string{"policy-server-one"}},
		"nobody does, whatever they may call":       {contextInput([]policiesv1.PolicyServer{one}, reader("one")), nil},
		"a policy of another server does":           {contextInput([]policiesv1.PolicyServer{one}, reader("two", pods...)), nil},
		"there are no policies":                     {contextInput([]policiesv1.PolicyServer{one}), nil},
		"tenants may ask can_i":                     {contextInput(granting("oci/*", "kubernetes/can_i"), tenantPolicy("one")), []string{"policy-server-one"}},
		"tenants may ask anything of the cluster":   {contextInput(granting("kubernetes/*"), tenantPolicy("one")), []string{"policy-server-one"}},
		"tenants may ask anything":                  {contextInput(granting("*"), tenantPolicy("one")), []string{"policy-server-one"}},
		"tenants may ask, and there are none":       {contextInput(granting("*"), reader("one")), nil},
		"tenants may ask other things":              {contextInput(granting("oci/*", "kubernetes/get_resource"), tenantPolicy("one")), nil},
		"the account is not made yet":               {render.ContextWatcherInput{Config: config(), Servers: []policiesv1.PolicyServer{one}, Policies: []policiesv1.Policy{reader("one", pods...)}}, nil},
		"somebody else made the account":            {changed(func(account *corev1.ServiceAccount) { account.OwnerReferences, account.Labels = nil, nil }), nil},
		"somebody else made it, with our label":     {changed(func(account *corev1.ServiceAccount) { account.OwnerReferences = nil }), nil},
		"it was made for a server of before":        {changed(func(account *corev1.ServiceAccount) { account.OwnerReferences[0].UID = "another" }), nil},
		"it has that name in another namespace":     {changed(func(account *corev1.ServiceAccount) { account.Namespace = "tenant" }), nil},
		"the spec names an account, the user's own": {contextInput([]policiesv1.PolicyServer{boundServer("one", everything)}, reader("one", pods...)), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			if binding := render.ContextWatcher(tc.in); binding != nil {
				for _, subject := range binding.Subjects {
					got = append(got, subject.Name)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected subjects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestContextAwareResourcesOfAGroup(t *testing.T) {
	group := &policiesv1.ClusterAdmissionPolicyGroup{}
	ingress := policiesv1.ContextAwareResource{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
		"a": {ContextAwareResources: []policiesv1.ContextAwareResource{pods[0], ingress}},
		"b": {ContextAwareResources: pods},
	}
	want := []policiesv1.ContextAwareResource{ingress, pods[0]}
	if diff := cmp.Diff(want, render.ContextAwareResources(group)); diff != "" {
		t.Errorf("unexpected kinds (-want +got):\n%s", diff)
	}
}
