//go:build integration

package operator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// shownElsewhere are rights that the test below cannot see used, each with the reason.
var shownElsewhere = map[string]string{
	"bind clusterroles.rbac.authorization.k8s.io kubewarden-audit-scanner":   asked,
	"bind clusterroles.rbac.authorization.k8s.io kubewarden-context-watcher": asked,
	"bind clusterroles.rbac.authorization.k8s.io view":                       asked,
}

// asked is of rights that go with a call: without them the creation of the bindings of the audit
// scanner and of the context watcher, which is among the rights that are used, would be refused.
const asked = "is asked about when a binding is created, and no call of its own"

// TestEveryRightIsUsedAndNoneIsMissing lets the operator live through what there is to do for
// it. It is granted what config/ says: all of that must be used, and nothing be refused.
func TestEveryRightIsUsedAndNoneIsMissing(t *testing.T) {
	c, log := auditedCluster(t)
	granted := c.grantsOf(t, simulator.ServiceAccount)
	if len(granted) == 0 {
		t.Fatal("the operator is granted nothing")
	}
	// A right that is missing may keep the operator from all that comes later.
	t.Cleanup(func() {
		for made := range operatorsCalls(t, log) {
			if made.code == http.StatusForbidden {
				t.Errorf("refused: %s", made)
			}
		}
	})
	liveThroughEverything(t, c)
	if t.Failed() {
		return
	}
	calls := operatorsCalls(t, log)
	unused := map[string]bool{}
	for _, grant := range granted {
		if !grant.isUsedBy(calls) {
			unused[grant.String()] = true
		}
	}
	for _, right := range slices.Sorted(maps.Keys(unused)) {
		if shownElsewhere[right] == "" {
			t.Errorf("granted and never used: %s", right)
		}
	}
	for right := range shownElsewhere {
		if !unused[right] {
			t.Errorf("is used, or not granted: %s", right)
		}
	}
}

// grant is one right: a verb on a kind of objects.
type grant struct {
	verb, group, resource string // resource/subresource
	// namespace and name are of the objects; empty means all of them.
	namespace, name string
}

func (g grant) String() string {
	words := []string{g.verb, strings.TrimSuffix(g.resource+"."+g.group, ".")}
	if g.name != "" {
		words = append(words, g.name)
	}
	if g.namespace != "" {
		words = append(words, "in", g.namespace)
	}
	return strings.Join(words, " ")
}

func (g grant) isUsedBy(calls map[call]bool) bool {
	for made := range calls {
		if made.verb == g.verb && made.group == g.group && made.resource == g.resource &&
			(g.namespace == "" || g.namespace == made.namespace) && (g.name == "" || g.name == made.name) {
			return true
		}
	}
	return false
}

// grantsOf are the rights of a ServiceAccount of the operator's namespace, by all bindings
// that name it.
func (c *cluster) grantsOf(t *testing.T, account string) []grant {
	t.Helper()
	var everywhere rbacv1.ClusterRoleBindingList
	var somewhere rbacv1.RoleBindingList
	for _, list := range []client.ObjectList{&everywhere, &somewhere} {
		if err := c.admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	binds := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(subject rbacv1.Subject) bool {
			return subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == namespace && subject.Name == account
		})
	}
	var granted []grant
	for i := range everywhere.Items {
		if binding := &everywhere.Items[i]; binds(binding.Subjects) {
			granted = append(granted, c.grantsBy(t, binding.RoleRef, "")...)
		}
	}
	for i := range somewhere.Items {
		if binding := &somewhere.Items[i]; binds(binding.Subjects) {
			granted = append(granted, c.grantsBy(t, binding.RoleRef, binding.Namespace)...)
		}
	}
	return granted
}

func (c *cluster) grantsBy(t *testing.T, role rbacv1.RoleRef, namespace string) []grant {
	t.Helper()
	var rules []rbacv1.PolicyRule
	if role.Kind == "ClusterRole" {
		found := &rbacv1.ClusterRole{}
		if err := c.admin.Get(t.Context(), client.ObjectKey{Name: role.Name}, found); err != nil {
			t.Fatal(err)
		}
		rules = found.Rules
	} else {
		found := &rbacv1.Role{}
		if err := c.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: role.Name}, found); err != nil {
			t.Fatal(err)
		}
		rules = found.Rules
	}
	granted := grantsIn(rules, namespace)
	for _, grant := range granted {
		if strings.Contains(grant.String(), "*") {
			t.Errorf("%s %s grants no one knows what: %s", role.Kind, role.Name, grant)
		}
	}
	return granted
}

// grantsIn are the rights of rules, those on URLs as resources.
func grantsIn(rules []rbacv1.PolicyRule, namespace string) []grant {
	var granted []grant
	for i := range rules {
		rule := &rules[i]
		resources := slices.Concat(rule.Resources, rule.NonResourceURLs)
		for _, group := range orEmpty(rule.APIGroups) {
			for _, resource := range resources {
				for _, name := range orEmpty(rule.ResourceNames) {
					for _, verb := range rule.Verbs {
						granted = append(granted, grant{verb: verb, group: group, resource: resource, namespace: namespace, name: name})
					}
				}
			}
		}
	}
	return granted
}

func orEmpty(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

// A grant is used by a call that it allows, and by no other.
func TestGrantIsUsed(t *testing.T) {
	made := call{verb: "patch", group: "apps", resource: "deployments", namespace: "kubewarden", name: "server", code: 200}
	right := grant{verb: "patch", group: "apps", resource: "deployments", namespace: "kubewarden", name: "server"}
	for name, tc := range map[string]struct {
		edit func(*grant)
		want bool
	}{
		"the very call":     {edit: func(*grant) {}, want: true},
		"any name":          {edit: func(g *grant) { g.name = "" }, want: true},
		"any namespace":     {edit: func(g *grant) { g.namespace = "" }, want: true},
		"another verb":      {edit: func(g *grant) { g.verb = "get" }},
		"another group":     {edit: func(g *grant) { g.group = "" }},
		"a subresource":     {edit: func(g *grant) { g.resource = "deployments/status" }},
		"another name":      {edit: func(g *grant) { g.name = "other" }},
		"another namespace": {edit: func(g *grant) { g.namespace = "default" }},
	} {
		t.Run(name, func(t *testing.T) {
			asked := right
			tc.edit(&asked)
			if got := asked.isUsedBy(map[call]bool{made: true}); got != tc.want {
				t.Errorf("used is %t, want %t: %s by %s", got, tc.want, asked, fmt.Sprint(made))
			}
		})
	}
}
