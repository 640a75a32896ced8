package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// cluster is what a small cluster serves, in the order of its discovery.
func cluster() []Resource {
	return []Resource{
		served("/v1/pods", "Pod", "pod"),
		served("/v1/services", "Service", "service"),
		served("/v1/events", "Event", "event"),
		ofCluster(served("/v1/namespaces", "Namespace", "namespace")),
		ofCluster(served("/v1/nodes", "Node", "node")),
		unlistable(served("/v1/bindings", "Binding", "")),
		served("apps/v1/deployments", "Deployment", "deployment"),
		served("autoscaling/v2/horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa"),
		served("autoscaling/v1/horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa"),
		served("events.k8s.io/v1/events", "Event", "event"),
		ofCluster(served("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "vwc")),
		served("wgpolicyk8s.io/v1alpha2/policyreports", "PolicyReport", ""),
		served("wgpolicyk8s.io/v1beta1/policyreports", "PolicyReport", ""),
		served("example.com/v1/widgets", "Widget", ""),
		served("example.com/v1alpha1/widgets", "Widget", ""),
	}
}

// served is a namespaced resource; gvr is written as in "apps/v1/deployments".
func served(gvr, kind, storage string) Resource {
	parts := strings.Split(gvr, "/")
	return Resource{
		Resource: matching.Resource{
			GVR:        schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]},
			Kind:       kind,
			Namespaced: true,
		},
		Storage:  storage,
		Listable: true,
	}
}

func ofCluster(r Resource) Resource {
	r.Namespaced = false
	return r
}

func unlistable(r Resource) Resource {
	r.Listable = false
	return r
}

// policy is an auditable one with these rules.
func policy(id string, rules ...admissionregistrationv1.RuleWithOperations) Policy {
	return Policy{ID: id, State: StateActive, BackgroundAudit: true, Webhook: matching.Webhook{Name: id, Rules: rules}}
}

func with(p Policy, change func(*Policy)) Policy {
	change(&p)
	return p
}

// rule has lists written with commas, as in `apps,` for the groups apps and "".
func rule(operations, groups, versions, resources string) admissionregistrationv1.RuleWithOperations {
	r := admissionregistrationv1.RuleWithOperations{Rule: admissionregistrationv1.Rule{
		APIGroups:   strings.Split(groups, ","),
		APIVersions: strings.Split(versions, ","),
		Resources:   strings.Split(resources, ","),
	}}
	for operation := range strings.SplitSeq(operations, ",") {
		r.Operations = append(r.Operations, admissionregistrationv1.OperationType(operation))
	}
	return r
}

// outline writes a plan in lines that are easy to compare.
func outline(kinds []Kind) []string {
	lines := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		var versions []string
		for _, version := range kind.Versions {
			var ids []string
			for _, question := range version.Questions {
				ids = append(ids, question.Policy.ID)
			}
			gvr := version.Resource.GVR
			versions = append(versions, fmt.Sprintf("%s/%s/%s: %s", gvr.Group, gvr.Version, gvr.Resource, strings.Join(ids, " ")))
		}
		lines = append(lines, strings.Join(versions, "; "))
	}
	return lines
}

func inNamespace(p *Plan, name string, labels map[string]string) []Kind {
	kinds, _ := p.Namespace(name, labels)
	return kinds
}

func skipLines(p *Plan) []string {
	lines := make([]string, 0, len(p.Skips()))
	for _, skip := range p.Skips() {
		lines = append(lines, skip.String())
	}
	return lines
}

var compiler = matching.NewCompiler()

func TestNewDecidesWhatToList(t *testing.T) {
	cases := map[string]struct {
		policies      []Policy
		wantCluster   []string
		wantNamespace []string
	}{
		"nothing": {},
		"one resource": {
			policies:      []Policy{policy("a", rule("CREATE", "", "v1", "pods"))},
			wantNamespace: []string{"/v1/pods: a"},
		},
		"a kind is listed once for all policies, which are asked in the order of their IDs": {
			policies:      []Policy{policy("b", rule("CREATE", "", "v1", "pods")), policy("a", rule("CREATE", "", "v1", "pods"))},
			wantNamespace: []string{"/v1/pods: a b"},
		},
		"rules that overlap ask once": {
			policies:      []Policy{policy("a", rule("CREATE", "", "v1", "pods"), rule("CREATE", "*", "*", "pods"))},
			wantNamespace: []string{"/v1/pods: a"},
		},
		"combinations that do not exist do not spoil those that do": {
			policies:      []Policy{policy("a", rule("CREATE", ",apps", "v1", "pods,deployments"))},
			wantNamespace: []string{"/v1/pods: a", "apps/v1/deployments: a"},
		},
		"wildcards are expanded": {
			policies:      []Policy{policy("a", rule("*", "*", "*", "*"))},
			wantCluster:   []string{"/v1/namespaces: a", "/v1/nodes: a"},
			wantNamespace: []string{"/v1/pods: a", "/v1/services: a", "apps/v1/deployments: a", "autoscaling/v2/horizontalpodautoscalers: a", "example.com/v1/widgets: a"},
		},
		"the wildcard for subresources includes the resource": {
			policies:      []Policy{policy("a", rule("CREATE", "", "v1", "pods/*"))},
			wantNamespace: []string{"/v1/pods: a"},
		},
		"the preferred version, when a policy takes several": {
			policies:      []Policy{policy("a", rule("CREATE", "autoscaling", "v1,v2", "horizontalpodautoscalers"))},
			wantNamespace: []string{"autoscaling/v2/horizontalpodautoscalers: a"},
		},
		"the version that the rule names": {
			policies:      []Policy{policy("a", rule("CREATE", "autoscaling", "v1", "horizontalpodautoscalers"))},
			wantNamespace: []string{"autoscaling/v1/horizontalpodautoscalers: a"},
		},
		"two versions of the same objects stay together": {
			policies:      []Policy{policy("a", rule("CREATE", "autoscaling", "v1", "*")), policy("b", rule("CREATE", "autoscaling", "v2", "*"))},
			wantNamespace: []string{"autoscaling/v2/horizontalpodautoscalers: b; autoscaling/v1/horizontalpodautoscalers: a"},
		},
		"two groups with the same objects stay together, and what a rule names is listed however volatile": {
			policies:      []Policy{policy("a", rule("CREATE", "events.k8s.io", "v1", "events")), policy("b", rule("CREATE", "", "v1", "events"))},
			wantNamespace: []string{"/v1/events: b; events.k8s.io/v1/events: a"},
		},
		"two versions without a storage hash are taken for the same": {
			policies:      []Policy{policy("a", rule("CREATE", "example.com", "v1,v1alpha1", "widgets"))},
			wantNamespace: []string{"example.com/v1/widgets: a"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan := New(compiler, Input{Policies: tc.policies, Resources: cluster()})
			if diff := cmp.Diff(tc.wantCluster, outline(plan.Cluster()), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("in the cluster (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantNamespace, outline(inNamespace(plan, "team-a", nil)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("in a namespace (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewKeepsAReasonForWhatIsLeftOut(t *testing.T) {
	pods := rule("CREATE", "", "v1", "pods")
	badSelector := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	cases := map[string]struct {
		policy Policy
		want   []string
	}{
		"nothing is left out": {policy: policy("a", pods)},
		"no background audit": {
			policy: with(policy("a", pods), func(p *Policy) { p.BackgroundAudit = false }),
			want:   []string{"a: BackgroundAuditDisabled: its spec says backgroundAudit: false"},
		},
		"being deleted": {
			policy: with(policy("a", pods), func(p *Policy) { p.Deleting = true }),
			want:   []string{"a: Deleting: it is being deleted"},
		},
		"pending": {
			policy: with(policy("a", pods), func(p *Policy) { p.State = "pending" }),
			want:   []string{"a: NotActive: its status is pending"},
		},
		"no status yet": {
			policy: with(policy("a", pods), func(p *Policy) { p.State = "" }),
			want:   []string{"a: NotActive: its status is not known yet"},
		},
		"no rule for CREATE": {
			policy: policy("a", rule("UPDATE,DELETE", "", "v1", "pods"), rule("CONNECT", "", "v1", "pods/exec")),
			want:   []string{"a: OperationNotReplayed: no rule has an operation that is replayed: CREATE"},
		},
		"a selector that is not valid": {
			policy: with(policy("a", pods), func(p *Policy) { p.Webhook.ObjectSelector = badSelector }),
			want:   []string{`a: Invalid: objectSelector: "Near" is not a valid label selector operator`},
		},
		"an unknown resource": {
			policy: policy("a", rule("CREATE", "", "v1", "pods,pots")),
			want:   []string{"a: pots in group [] version [v1]: NotServed: the API server serves no such resource in these groups, versions and scope"},
		},
		"nothing but unknown resources": {
			policy: policy("a", rule("CREATE", "apps", "v1", "pods")),
			want: []string{
				"a: pods in group [apps] version [v1]: NotServed: the API server serves no such resource in these groups, versions and scope",
				"a: NothingToList: none of its rules matches a kind of objects that can be audited",
			},
		},
		"a subresource": {
			policy: policy("a", rule("CREATE", "", "v1", "pods,pods/exec")),
			want:   []string{"a: pods/exec in group [] version [v1]: Subresource: requests for subresources leave nothing behind to audit"},
		},
		"a resource without list": {
			policy: policy("a", rule("CREATE", "", "v1", "pods,bindings")),
			want:   []string{"a: bindings: NotListable: the API server cannot list it"},
		},
		"what no webhook is called for": {
			policy: policy("a", pods, rule("CREATE", "admissionregistration.k8s.io", "*", "*")),
			want:   []string{"a: validatingwebhookconfigurations.admissionregistration.k8s.io: NeverCalled: policies are never asked about it"},
		},
		"reports": {
			policy: policy("a", pods, rule("CREATE", "wgpolicyk8s.io", "*", "*")),
			want:   []string{"a: policyreports.wgpolicyk8s.io: Reports: a report about a report would need a report itself"},
		},
		"volatile objects under a wildcard": {
			policy: policy("a", rule("CREATE", "", "v1", "*")),
			want: []string{
				"a: events: Volatile: only a wildcard names it, and its objects come and go too fast to be worth a report each",
				"a: bindings: NotListable: the API server cannot list it",
			},
		},
		"a rule for other operations, beside one about less": {
			policy: policy("a", pods, rule("DELETE", "", "v1", "services,pods,pots"), rule("CONNECT", "", "v1", "pods/exec")),
			want:   []string{"a: services in group [] version [v1]: OperationNotReplayed: the rule has no operation that is replayed: CREATE"},
		},
		"a wildcard for other operations, beside one about less": {
			policy: policy("a", pods, rule("UPDATE", "", "v1", "*")),
			want:   []string{"a: * in group [] version [v1]: OperationNotReplayed: the rule has no operation that is replayed: CREATE"},
		},
		"a group that does not answer": {
			policy: policy("a", pods, rule("CREATE", "metrics.k8s.io", "*", "pods,pods/exec")),
			want: []string{
				"a: everything in metrics.k8s.io/v1beta1: NotDiscovered: the API server does not say what it serves there",
				"a: pods/exec in group [metrics.k8s.io] version [*]: Subresource: requests for subresources leave nothing behind to audit",
			},
		},
		"a group that does not answer, in another version": {
			policy: policy("a", pods, rule("CREATE", "metrics.k8s.io", "v1", "pods")),
			want:   []string{"a: pods in group [metrics.k8s.io] version [v1]: NotServed: the API server serves no such resource in these groups, versions and scope"},
		},
		"wildcards, of which one is a group that does not answer": {
			policy: policy("a", rule("CREATE", "*", "*", "deployments")),
			want:   []string{"a: everything in metrics.k8s.io/v1beta1: NotDiscovered: the API server does not say what it serves there"},
		},
		"a namespaced policy on objects of the cluster": {
			policy: with(policy("a", pods, rule("CREATE", "", "v1", "nodes")), func(p *Policy) { p.Namespace = "team-a" }),
			want:   []string{"a: nodes: OutsideNamespace: the policy is bound to a namespace, and these objects live in none"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan := New(compiler, Input{
				Policies: []Policy{tc.policy}, Resources: cluster(), Unknown: []schema.GroupVersion{{Group: "metrics.k8s.io", Version: "v1beta1"}},
			})
			if diff := cmp.Diff(tc.want, skipLines(plan), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("skips (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamespaceAsksThePoliciesThatApplyThere(t *testing.T) {
	pods := rule("CREATE", "", "v1", "pods")
	plan := New(compiler, Input{Resources: cluster(), Policies: []Policy{
		policy("everywhere", pods),
		with(policy("in-prod", pods, rule("CREATE", "", "v1", "services")), func(p *Policy) {
			p.Webhook.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
		}),
		with(policy("in-team-a", pods), func(p *Policy) { p.Namespace = "team-a" }),
	}})
	prod := map[string]string{"env": "prod"}
	cases := map[string]struct {
		namespace string
		labels    map[string]string
		want      []string
	}{
		"a plain namespace":             {"team-b", nil, []string{"/v1/pods: everywhere"}},
		"one that a selector selects":   {"team-b", prod, []string{"/v1/pods: everywhere in-prod", "/v1/services: in-prod"}},
		"one with a policy of its own":  {"team-a", nil, []string{"/v1/pods: everywhere in-team-a"}},
		"one with both kinds of policy": {"team-a", prod, []string{"/v1/pods: everywhere in-prod in-team-a", "/v1/services: in-prod"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, outline(inNamespace(plan, tc.namespace, tc.labels))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPoliciesAreThoseThatAreAskedSomething(t *testing.T) {
	plan := New(compiler, Input{Resources: cluster(), Policies: []Policy{
		policy("b", rule("CREATE", "", "v1", "pods,nodes")),
		policy("a", rule("CREATE", "", "v1", "pods")),
		policy("c", rule("CREATE", "", "v1", "pots")),
	}})
	got := make([]string, 0, 2)
	for _, p := range plan.Policies() {
		got = append(got, p.ID)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEachOperationIsAskedWhereARuleHasIt(t *testing.T) {
	policies := []Policy{
		policy("a", rule("*", "", "v1", "pods")),
		policy("b", rule("UPDATE", "", "v1", "pods"), rule("DELETE", "", "v1", "services")),
		policy("c", rule("CREATE", "", "v1", "pods")),
		policy("d", rule("CREATE", "autoscaling", "v2", "*"), rule("DELETE", "autoscaling", "v1", "*")),
		policy("e", rule("CONNECT", "", "v1", "pods/exec")),
	}
	plan := New(compiler, Input{Policies: policies, Resources: cluster(), Operations: Operations()})
	var got []string
	for _, kind := range inNamespace(plan, "team-a", nil) {
		for _, version := range kind.Versions {
			for _, question := range version.Questions {
				got = append(got, fmt.Sprintf("%s %s: %s %s", version.Resource.GVR.Version, version.Resource.Kind, question.Policy.ID, question.Operation))
			}
		}
	}
	want := []string{
		"v1 Pod: a CREATE", "v1 Pod: a UPDATE", "v1 Pod: a DELETE", "v1 Pod: b UPDATE", "v1 Pod: c CREATE",
		"v1 Service: b DELETE", "v2 HorizontalPodAutoscaler: d CREATE", "v1 HorizontalPodAutoscaler: d DELETE",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"e: OperationNotReplayed: no rule has an operation that is replayed: CREATE, UPDATE, DELETE"}, skipLines(plan)); diff != "" {
		t.Errorf("skips (-want +got):\n%s", diff)
	}
}

func TestNamespaceCountsWhatSelectorsLeaveOut(t *testing.T) {
	selective := with(policy("a", rule("*", "", "v1", "pods,services")), func(p *Policy) {
		p.Webhook.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	})
	plan := New(compiler, Input{Policies: []Policy{selective, policy("b", rule("CREATE", "", "v1", "pods"))}, Resources: cluster(), Operations: Operations()})
	if _, unselected := plan.Namespace("team-a", nil); unselected != 6 {
		t.Errorf("%d questions are left out, want those about two kinds and three operations", unselected)
	}
	kinds, unselected := plan.Namespace("team-a", map[string]string{"env": "prod"})
	if unselected != 0 {
		t.Errorf("%d questions are left out where the selector selects", unselected)
	}
	if pods := kinds[0].Questions(); pods != 4 {
		t.Errorf("%d questions are about pods, want three of one policy and one of the other", pods)
	}
}
