package matching

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
)

var (
	pods         = inNamespaces("/v1/pods", "Pod")
	namespaces   = inCluster("/v1/namespaces", "Namespace")
	nodes        = inCluster("/v1/nodes", "Node")
	deployments  = inNamespaces("apps/v1/deployments", "Deployment")
	autoscalers1 = inNamespaces("autoscaling/v1/horizontalpodautoscalers", "HorizontalPodAutoscaler")
	autoscalers2 = inNamespaces("autoscaling/v2/horizontalpodautoscalers", "HorizontalPodAutoscaler")
)

// inNamespaces and inCluster are resources; gvr is written as in "apps/v1/deployments".
func inNamespaces(gvr, kind string) Resource {
	r := inCluster(gvr, kind)
	r.Namespaced = true
	return r
}

func inCluster(gvr, kind string) Resource {
	parts := strings.Split(gvr, "/")
	return Resource{GVR: schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}, Kind: kind}
}

// create is a request to create an object of the resource, in namespace team-a if it
// lives in one.
func create(r Resource, labels map[string]string) Request {
	request := Request{Resource: r, Operation: admission.Create, Name: "one"}
	if r.Namespaced {
		request.Namespace = "team-a"
		request.NamespaceLabels = map[string]string{"kubernetes.io/metadata.name": "team-a", "env": "prod"}
	}
	if r == namespaces {
		request.Namespace = request.Name
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(r.GVK())
	object.SetName(request.Name)
	object.SetLabels(labels)
	request.Object = object
	return request
}

func rule(group, version, plural string, operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
	if len(operations) == 0 {
		operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	}
	return admissionregistrationv1.RuleWithOperations{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{group},
			APIVersions: []string{version},
			Resources:   []string{plural},
		},
	}
}

func scoped(r admissionregistrationv1.RuleWithOperations, scope admissionregistrationv1.ScopeType) admissionregistrationv1.RuleWithOperations {
	r.Scope = &scope
	return r
}

func ruleSet(list ...admissionregistrationv1.RuleWithOperations) []admissionregistrationv1.RuleWithOperations {
	return list
}

func equals(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func conditions(expressions ...string) []admissionregistrationv1.MatchCondition {
	list := make([]admissionregistrationv1.MatchCondition, 0, len(expressions))
	for i, expression := range expressions {
		list = append(list, admissionregistrationv1.MatchCondition{Name: "condition-" + string(rune('a'+i)), Expression: expression})
	}
	return list
}

type matchCase struct {
	webhook Webhook
	request Request
	want    Outcome
	wantErr string
}

func runMatchCases(t *testing.T, cases map[string]matchCase) {
	t.Helper()
	compiler := NewCompiler()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			matcher, err := compiler.Compile(tc.webhook)
			if err != nil {
				t.Fatalf("compile: %v", err)
			}
			got, err := matcher.Match(t.Context(), tc.request)
			checkError(t, err, tc.wantErr)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error = %v, want one that contains %q", err, want)
	}
}

func matches(r Resource) Outcome { return Outcome{Matches: true, Resource: r} }

func TestMatchRules(t *testing.T) {
	cluster, namespaced := admissionregistrationv1.ClusterScope, admissionregistrationv1.NamespacedScope
	scale := create(deployments, nil)
	scale.Subresource = "scale"
	missed := Outcome{Why: WhyRules}
	runMatchCases(t, map[string]matchCase{
		"the resource named by the rule": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "pods"))}, request: create(pods, nil), want: matches(pods),
		},
		"another group": {
			webhook: Webhook{Rules: ruleSet(rule("apps", "v1", "pods"))}, request: create(pods, nil), want: missed,
		},
		"another version": {
			webhook: Webhook{Rules: ruleSet(rule("", "v2", "pods"))}, request: create(pods, nil), want: missed,
		},
		"another resource": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "services"))}, request: create(pods, nil), want: missed,
		},
		"another operation": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "pods", "UPDATE", "DELETE"))}, request: create(pods, nil), want: missed,
		},
		"the operation among others": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "pods", "UPDATE", "CREATE"))}, request: create(pods, nil), want: matches(pods),
		},
		"the wildcard operation": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "pods", "*"))}, request: create(pods, nil), want: matches(pods),
		},
		"wildcards everywhere": {
			webhook: Webhook{Rules: ruleSet(rule("*", "*", "*", "*"))}, request: create(deployments, nil), want: matches(deployments),
		},
		"a wildcard resource leaves subresources out": {
			webhook: Webhook{Rules: ruleSet(rule("*", "*", "*"))}, request: scale, want: missed,
		},
		"the wildcard for subresources includes the resource itself": {
			webhook: Webhook{Rules: ruleSet(rule("*", "*", "*/*"))}, request: create(deployments, nil), want: matches(deployments),
		},
		"the wildcard for the subresources of one resource includes that resource": {
			webhook: Webhook{Rules: ruleSet(rule("apps", "v1", "deployments/*"))}, request: create(deployments, nil), want: matches(deployments),
		},
		"a subresource alone": {
			webhook: Webhook{Rules: ruleSet(rule("apps", "v1", "deployments/scale"))}, request: scale, want: matches(deployments),
		},
		"the second rule": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "services"), rule("", "v1", "pods"))}, request: create(pods, nil), want: matches(pods),
		},
		"no rules": {
			webhook: Webhook{}, request: create(pods, nil), want: missed,
		},
		"scope Namespaced, object in a namespace": {
			webhook: Webhook{Rules: ruleSet(scoped(rule("*", "*", "*"), namespaced))}, request: create(pods, nil), want: matches(pods),
		},
		"scope Cluster, object in a namespace": {
			webhook: Webhook{Rules: ruleSet(scoped(rule("*", "*", "*"), cluster))}, request: create(pods, nil), want: missed,
		},
		"scope Cluster, object of the cluster": {
			webhook: Webhook{Rules: ruleSet(scoped(rule("*", "*", "*"), cluster))}, request: create(nodes, nil), want: matches(nodes),
		},
		"scope Cluster, a namespace": {
			webhook: Webhook{Rules: ruleSet(scoped(rule("*", "*", "*"), cluster))}, request: create(namespaces, nil), want: matches(namespaces),
		},
		"scope Namespaced, a namespace": {
			webhook: Webhook{Rules: ruleSet(scoped(rule("*", "*", "*"), namespaced))}, request: create(namespaces, nil), want: missed,
		},
	})
}

func TestMatchPolicy(t *testing.T) {
	exact, equivalent := admissionregistrationv1.Exact, admissionregistrationv1.Equivalent
	request := create(autoscalers2, nil)
	request.Equivalents = []Resource{autoscalers1}
	old := ruleSet(rule("autoscaling", "v1", "horizontalpodautoscalers"))
	both := ruleSet(rule("autoscaling", "v1", "horizontalpodautoscalers"), rule("autoscaling", "v2", "horizontalpodautoscalers"))
	converted := request
	converted.Convert = func(r Resource) (runtime.Object, runtime.Object, error) {
		return create(r, map[string]string{"converted-to": r.GVR.Version}).Object, nil, nil
	}
	broken := request
	broken.Convert = func(Resource) (runtime.Object, runtime.Object, error) { return nil, nil, errors.New("out of order") }
	inOldVersion := conditions(`object.metadata.labels["converted-to"] == "v1" && request.resource.version == "v2"`)
	runMatchCases(t, map[string]matchCase{
		"Exact takes the version literally": {
			webhook: Webhook{Rules: old, MatchPolicy: &exact}, request: request, want: Outcome{Why: WhyRules},
		},
		"Equivalent matches as the version of the rule": {
			webhook: Webhook{Rules: old, MatchPolicy: &equivalent}, request: request, want: matches(autoscalers1),
		},
		"Equivalent is the default": {
			webhook: Webhook{Rules: old}, request: request, want: matches(autoscalers1),
		},
		"the version of the request comes before earlier rules": {
			webhook: Webhook{Rules: both}, request: request, want: matches(autoscalers2),
		},
		"match conditions see the object in the version of the rule": {
			webhook: Webhook{Rules: old, MatchConditions: inOldVersion}, request: converted, want: matches(autoscalers1),
		},
		"a conversion that nobody knows": {
			webhook: Webhook{Rules: old, MatchConditions: inOldVersion}, request: request, wantErr: "no conversion is known",
		},
		"a conversion that fails": {
			webhook: Webhook{Rules: old, MatchConditions: inOldVersion}, request: broken, wantErr: "out of order",
		},
	})
}

func TestMatchSelectors(t *testing.T) {
	all := ruleSet(rule("*", "*", "*"))
	lost := create(pods, nil)
	lost.Namespace, lost.NamespaceLabels = "team-b", nil
	updated := create(pods, map[string]string{"app": "new"})
	updated.Operation, updated.OldObject = admission.Update, create(pods, map[string]string{"app": "old"}).Object
	runMatchCases(t, map[string]matchCase{
		"an absent namespace selector selects all": {
			webhook: Webhook{Rules: all}, request: lost, want: matches(pods),
		},
		"an empty namespace selector selects all": {
			webhook: Webhook{Rules: all, NamespaceSelector: &metav1.LabelSelector{}}, request: lost, want: matches(pods),
		},
		"the namespace has the label": {
			webhook: Webhook{Rules: all, NamespaceSelector: equals("env", "prod")}, request: create(pods, nil), want: matches(pods),
		},
		"the namespace has another value": {
			webhook: Webhook{Rules: all, NamespaceSelector: equals("env", "test")}, request: create(pods, nil), want: Outcome{Why: WhyNamespaceSelector},
		},
		"the namespace has no labels": {
			webhook: Webhook{Rules: all, NamespaceSelector: equals("env", "prod")}, request: lost, want: Outcome{Why: WhyNamespaceSelector},
		},
		"objects of the cluster are not subject to it": {
			webhook: Webhook{Rules: all, NamespaceSelector: equals("env", "test")}, request: create(nodes, nil), want: matches(nodes),
		},
		"a namespace is subject to it with its own labels": {
			webhook: Webhook{Rules: all, NamespaceSelector: equals("env", "test")}, request: create(namespaces, map[string]string{"env": "test"}), want: matches(namespaces),
		},
		"a namespace with other labels": {
			webhook: Webhook{Rules: all, NamespaceSelector: equals("env", "test")}, request: create(namespaces, nil), want: Outcome{Why: WhyNamespaceSelector},
		},
		"the object has the label": {
			webhook: Webhook{Rules: all, ObjectSelector: equals("app", "web")}, request: create(pods, map[string]string{"app": "web"}), want: matches(pods),
		},
		"the object lacks the label": {
			webhook: Webhook{Rules: all, ObjectSelector: equals("app", "web")}, request: create(pods, nil), want: Outcome{Why: WhyObjectSelector},
		},
		"the old object had the label": {
			webhook: Webhook{Rules: ruleSet(rule("*", "*", "*", "*")), ObjectSelector: equals("app", "old")}, request: updated, want: matches(pods),
		},
		"selectors are looked at before rules": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "services")), ObjectSelector: equals("app", "web")}, request: create(pods, nil), want: Outcome{Why: WhyObjectSelector},
		},
	})
}

func TestMatchConditions(t *testing.T) {
	all := ruleSet(rule("*", "*", "*"))
	web := create(pods, map[string]string{"app": "web"})
	byJane := web
	byJane.User = &user.DefaultInfo{Name: "jane"}
	failing := conditions(`object.metadata.annotations["absent"] == "x"`)
	runMatchCases(t, map[string]matchCase{
		"true": {
			webhook: Webhook{Rules: all, MatchConditions: conditions(`object.metadata.labels.app == "web"`)}, request: web, want: matches(pods),
		},
		"false, and named": {
			webhook: Webhook{Rules: all, MatchConditions: conditions("true", `request.namespace != "team-a"`)}, request: web,
			want: Outcome{Why: WhyMatchCondition, Condition: "condition-b"},
		},
		"false beats an error": {
			webhook: Webhook{Rules: all, MatchConditions: append(failing, conditions("true", "false")[1])}, request: web,
			want: Outcome{Why: WhyMatchCondition, Condition: "condition-b"},
		},
		"an error refuses the request by default": {
			webhook: Webhook{Rules: all, MatchConditions: failing}, request: web, wantErr: "no such key: annotations",
		},
		"an error with failure policy Ignore": {
			webhook: Webhook{Rules: all, MatchConditions: failing, FailurePolicy: new(admissionregistrationv1.Ignore)}, request: web,
			want: Outcome{Why: WhyMatchCondition},
		},
		"the user's name": {
			webhook: Webhook{Rules: all, MatchConditions: conditions(`request.userInfo.username == "jane"`)}, request: byJane, want: matches(pods),
		},
		"a user without a name has no name to read": {
			webhook: Webhook{Rules: all, MatchConditions: conditions(`request.userInfo.username == ""`)}, request: web, wantErr: "no such key: username",
		},
		"nobody has rights": {
			webhook: Webhook{Rules: all, MatchConditions: conditions(`!authorizer.group("").resource("pods").check("delete").allowed()`)}, request: web, want: matches(pods),
		},
		"the request is a plain creation": {
			webhook: Webhook{Rules: all, MatchConditions: conditions(`request.operation == "CREATE" && !request.dryRun && request.options.kind == "CreateOptions" && oldObject == null`)},
			request: web, want: matches(pods),
		},
		"conditions are looked at after rules": {
			webhook: Webhook{Rules: ruleSet(rule("", "v1", "services")), MatchConditions: failing}, request: web, want: Outcome{Why: WhyRules},
		},
	})
}

func TestMatchRefusesAnUnknownNamespace(t *testing.T) {
	matcher, err := NewCompiler().Compile(Webhook{Rules: ruleSet(rule("*", "*", "*")), NamespaceSelector: equals("env", "prod")})
	if err != nil {
		t.Fatal(err)
	}
	request := create(namespaces, nil)
	request.Operation, request.Object = admission.Delete, nil
	request.Namespace = "one"
	if outcome, err := matcher.Match(t.Context(), request); err != nil || outcome.Why != WhyNamespaceSelector {
		t.Errorf("outcome = %+v, error = %v; the labels of the request's namespace count when one is deleted", outcome, err)
	}
}

func TestCompileNamesWhatIsNotValid(t *testing.T) {
	bad := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: "Near"}}}
	_, err := NewCompiler().Compile(Webhook{
		NamespaceSelector: bad,
		ObjectSelector:    bad,
		MatchConditions:   conditions("object.spec ==", `"text"`),
	})
	for _, want := range []string{"namespaceSelector:", "objectSelector:", "matchConditions:", "Syntax error", "must evaluate to bool"} {
		checkError(t, err, want)
	}
}

func TestCoversJudgesByRuleAlone(t *testing.T) {
	cluster := admissionregistrationv1.ClusterScope
	cases := map[string]struct {
		rule     admissionregistrationv1.RuleWithOperations
		resource Resource
		want     bool
	}{
		"a namespaced resource":                   {rule("", "v1", "pods"), pods, true},
		"another operation":                       {rule("", "v1", "pods", "DELETE"), pods, false},
		"scope Cluster and a namespaced resource": {scoped(rule("*", "*", "*"), cluster), pods, false},
		"scope Cluster and namespaces":            {scoped(rule("*", "*", "*"), cluster), namespaces, true},
		"scope Cluster and a cluster resource":    {scoped(rule("*", "*", "*"), cluster), nodes, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Covers(ruleSet(tc.rule), admission.Create, tc.resource); got != tc.want {
				t.Errorf("covers = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNeverCalled(t *testing.T) {
	if !NeverCalled(inCluster("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "ValidatingWebhookConfiguration")) {
		t.Error("API servers call no webhook about webhook configurations")
	}
	if NeverCalled(pods) {
		t.Error("API servers do call webhooks about pods")
	}
}

func TestSelectsNamespace(t *testing.T) {
	matcher, err := NewCompiler().Compile(Webhook{NamespaceSelector: equals("env", "prod")})
	if err != nil {
		t.Fatal(err)
	}
	if !matcher.SelectsNamespace(map[string]string{"env": "prod"}) || matcher.SelectsNamespace(nil) {
		t.Error("the namespace selector alone decides")
	}
}

func BenchmarkMatch(b *testing.B) {
	matcher, err := NewCompiler().Compile(Webhook{Rules: ruleSet(rule("*", "*", "*")), NamespaceSelector: equals("env", "prod"), ObjectSelector: equals("app", "web")})
	if err != nil {
		b.Fatal(err)
	}
	request := create(pods, map[string]string{"app": "web"})
	for b.Loop() {
		if outcome, err := matcher.Match(context.Background(), request); err != nil || !outcome.Matches {
			b.Fatal(outcome, err)
		}
	}
}

// A condition that reads no object is evaluated without one, so that none need be decoded.
func TestReadsObject(t *testing.T) {
	compiler := NewCompiler()
	for expression, want := range map[string]bool{
		`request.name == "one"`:                                         false,
		`request.operation == "CREATE" && has(request.namespace)`:       false,
		`object.metadata.name == "one"`:                                 true,
		`request.operation != "DELETE" || oldObject.spec.x == 1`:        true,
		`has(object . spec)`:                                            true,
		`[object][0].kind == "Pod"`:                                     true,
		`request.name in ["an object, which is not looked at, either"]`: true,
	} {
		webhook := Webhook{Rules: ruleSet(rule("*", "*", "*")), MatchConditions: conditions("true", expression)}
		matcher, err := compiler.Compile(webhook)
		if err != nil {
			t.Fatal(err)
		}
		if got := matcher.ReadsObject(); got != want {
			t.Errorf("%s reads the object: got %t, want %t", expression, got, want)
		}
	}
	matcher, err := compiler.Compile(Webhook{Rules: ruleSet(rule("*", "*", "*")), ObjectSelector: equals("app", "web")})
	if err != nil || matcher.ReadsObject() {
		t.Errorf("a webhook without conditions reads objects, or error %v", err)
	}
}

func TestConditionsThatReadNoObjectNeedNone(t *testing.T) {
	request := create(pods, nil)
	request.Object = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "one", Labels: map[string]string{"app": "web"}}}
	converted := request
	converted.Equivalents = []Resource{inNamespaces("/v0/pods", "Pod")}
	named := conditions(`request.name == "one" && request.resource.resource == "pods"`)
	runMatchCases(t, map[string]matchCase{
		"labels are there": {
			webhook: Webhook{Rules: ruleSet(rule("*", "*", "*")), ObjectSelector: equals("app", "web"), MatchConditions: named}, request: request, want: matches(pods),
		},
		"no conversion is needed": {
			webhook: Webhook{Rules: ruleSet(rule("", "v0", "pods")), MatchConditions: named}, request: converted, want: matches(converted.Equivalents[0]),
		},
	})
}
