//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// rightsPatience is how soon a right that came or went must be told of, with room for a
// busy machine: the operator asks every quarter of a minute.
const rightsPatience = 3 * time.Minute

const contextWatcher = "kubewarden-context-watcher"

// contextReaders complains unless these accounts, and no others, are bound to the context
// watcher; none means that there is no binding.
func (c *cluster) contextReaders(want ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		binding := clusterRoleBinding(contextWatcher)
		if len(want) == 0 {
			return c.mustNotExist(ctx, binding)
		}
		if err := c.mustExist(ctx, binding); err != nil {
			return err
		}
		var got []string
		for _, subject := range binding.Subjects {
			got = append(got, subject.Namespace+"/"+subject.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("unexpected subjects (-want +got):\n%s", diff)
		}
		return nil
	}
}

// contextIs complains unless ContextReadable has this status, and a message with these
// words; no status means that there is no such condition.
func (c *cluster) contextIs(policy policiesv1.Policy, status metav1.ConditionStatus, words ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.mustExist(ctx, policy); err != nil {
			return err
		}
		condition := apimeta.FindStatusCondition(policy.GetStatus().Conditions, policiesv1.ConditionContextReadable)
		if condition == nil || status == "" {
			if condition != nil || status != "" {
				return fmt.Errorf("ContextReadable is %+v, want status %q", condition, status)
			}
			return nil
		}
		if condition.Status != status || condition.ObservedGeneration != policy.GetGeneration() {
			return fmt.Errorf("ContextReadable is %+v, want status %s", condition, status)
		}
		for _, word := range words {
			if !strings.Contains(condition.Message, word) {
				return fmt.Errorf("the message is %q, without %q", condition.Message, word)
			}
		}
		return nil
	}
}

// eventsOfContext are those Events about a policy that tell of what it may read.
func (c *cluster) eventsOfContext(t *testing.T, policy policiesv1.Policy) []string {
	t.Helper()
	return slices.DeleteFunc(c.events(t, policy), func(event string) bool {
		return !strings.HasSuffix(event, policiesv1.ReasonMissingRights) && !strings.HasSuffix(event, policiesv1.ReasonRightsSuffice)
	})
}

// grantDeployments lets an account read Deployments, as a user would.
func (c *cluster) grantDeployments(t *testing.T, account string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "deployments-for-" + account}
	c.create(t, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch"},
	}}})
	c.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	})
}

// declare changes what a policy declares to read.
func declare(t *testing.T, c *cluster, policy *policiesv1.ClusterAdmissionPolicy, resources ...policiesv1.ContextAwareResource) {
	t.Helper()
	change(t, c, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.ContextAwareResources = resources })
}

var (
	podKind        = policiesv1.ContextAwareResource{APIVersion: "v1", Kind: "Pod"}
	deploymentKind = policiesv1.ContextAwareResource{APIVersion: "apps/v1", Kind: "Deployment"}
)

// An account reads the cluster while a policy of its server does, and the policy says which
// rule is missing for what nobody but the user can grant.
func TestPoliciesThatReadTheCluster(t *testing.T) {
	const account = "policy-server-context"
	shared.createServer(t, "context")
	policy := shared.createPolicy(t, "context", "context")
	within(t, patience, shared.contextIs(policy, ""))
	within(t, patience, shared.contextReaders())

	declare(t, shared, policy, podKind, deploymentKind)
	within(t, patience, shared.contextReaders(namespace+"/"+account))
	within(t, rightsPatience, shared.contextIs(policy, metav1.ConditionFalse,
		`ServiceAccount kubewarden/policy-server-context may not get, list and watch deployments (group "apps")`,
		`apiGroups: ["apps"], resources: [deployments], verbs: [get, list, watch]`))
	condition := apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionContextReadable)
	if condition.Reason != policiesv1.ReasonMissingRights || strings.Contains(condition.Message, "pods") {
		t.Errorf("unexpected condition %+v", condition)
	}
	checkContextReader(t, shared, account)

	// Whatever somebody makes of the binding is undone.
	binding := clusterRoleBinding(contextWatcher)
	change(t, shared, binding, func(b *rbacv1.ClusterRoleBinding) {
		b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: tenant, Name: "intruder"})
	})
	within(t, patience, shared.contextReaders(namespace+"/"+account))
	if err := shared.admin.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	within(t, patience, shared.contextReaders(namespace+"/"+account))

	shared.grantDeployments(t, account)
	within(t, rightsPatience, shared.contextIs(policy, metav1.ConditionTrue))
	within(t, patience, func(context.Context) error {
		if diff := cmp.Diff([]string{"Warning MissingRights", "Normal RightsSuffice"}, shared.eventsOfContext(t, policy)); diff != "" {
			return fmt.Errorf("unexpected events (-want +got):\n%s", diff)
		}
		return nil
	})

	declare(t, shared, policy)
	within(t, patience, shared.contextReaders())
	within(t, patience, shared.contextIs(policy, ""))
}

// checkContextReader acts as the account of a policy server.
func checkContextReader(t *testing.T, c *cluster, account string) {
	t.Helper()
	own, err := c.Client(c.As(account))
	if err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return own.List(ctx, &corev1.PodList{}) })
	if err := own.List(t.Context(), &corev1.SecretList{}); err == nil {
		t.Error("a policy server may list Secrets")
	}
}

// An account that a spec names is the user's: nothing is bound to it, and the policy says
// what it lacks.
func TestNamedAccountsAreTheUsersToBind(t *testing.T) {
	account := named(&corev1.ServiceAccount{}, "their-own")
	shared.create(t, account)
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "their-own"}}
	server.Spec.ServiceAccountName = account.Name
	shared.create(t, server)
	policy := shared.createPolicy(t, "their-own", "their-own")
	declare(t, shared, policy, deploymentKind)

	within(t, rightsPatience, shared.contextIs(policy, metav1.ConditionFalse,
		"ServiceAccount kubewarden/their-own may not get, list and watch deployments"))
	if err := shared.contextReaders()(t.Context()); err != nil {
		t.Error(err)
	}
	shared.grantDeployments(t, account.Name)
	within(t, rightsPatience, shared.contextIs(policy, metav1.ConditionTrue))
}
