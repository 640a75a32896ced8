//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// createServer makes a PolicyServer and removes it when the test ends.
func (c *cluster) createServer(t *testing.T, name string) *policiesv1.PolicyServer {
	t.Helper()
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	c.create(t, server)
	return server
}

// createPolicy makes a policy of a server and removes it when the test ends.
func (c *cluster) createPolicy(t *testing.T, name, server string) *policiesv1.ClusterAdmissionPolicy {
	t.Helper()
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	policy.Spec.PolicyServer = server
	policy.Spec.Module = "registry://example.test/labels:v1"
	policy.Spec.Settings = settings("a")
	policy.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Create, admissionregistrationv1.Update)}
	c.create(t, policy)
	return policy
}

func podRule(operations ...admissionregistrationv1.OperationType) policiesv1.Rule {
	return policiesv1.Rule{
		Operations: operations, APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
	}
}

func settings(label string) runtime.RawExtension {
	return runtime.RawExtension{Raw: []byte(fmt.Sprintf(`{"labels":[%q]}`, label))}
}

func (c *cluster) create(t *testing.T, object client.Object) {
	t.Helper()
	if err := c.admin.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := client.IgnoreNotFound(c.admin.Delete(context.WithoutCancel(t.Context()), object)); err != nil {
			t.Errorf("delete %T %s: %v", object, object.GetName(), err)
		}
	})
}

// change reads an object, changes it, and writes it, until nobody comes in between.
func change[T client.Object](t *testing.T, c *cluster, object T, edit func(T)) {
	t.Helper()
	within(t, patience, func(ctx context.Context) error {
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		edit(object)
		return c.admin.Update(ctx, object)
	})
}

func (c *cluster) exists(ctx context.Context, object client.Object) (bool, error) {
	err := c.admin.Get(ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// mustExist and mustNotExist complain about presence and absence.
func (c *cluster) mustExist(ctx context.Context, object client.Object) error {
	exists, err := c.exists(ctx, object)
	if err == nil && !exists {
		err = fmt.Errorf("%T %s does not exist", object, object.GetName())
	}
	return err
}

func (c *cluster) mustNotExist(ctx context.Context, object client.Object) error {
	exists, err := c.exists(ctx, object)
	if err == nil && exists {
		err = fmt.Errorf("%T %s exists", object, object.GetName())
	}
	return err
}

func validatingWebhook(policy string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	webhook.Name = "kw.cap." + policy
	return webhook
}

func mutatingWebhook(policy string) *admissionregistrationv1.MutatingWebhookConfiguration {
	webhook := &admissionregistrationv1.MutatingWebhookConfiguration{}
	webhook.Name = "kw.cap." + policy
	return webhook
}

// expected is what a test expects of a condition; what is left empty may be anything.
type expected struct {
	conditionType string
	status        metav1.ConditionStatus
	reason        string
}

// checkConditions complains about conditions that are not as expected, and about those
// that tell of a generation that is no longer current.
func checkConditions(conditions []metav1.Condition, generation int64, all ...expected) error {
	for _, want := range all {
		condition := apimeta.FindStatusCondition(conditions, want.conditionType)
		if condition == nil {
			return fmt.Errorf("there is no condition %s", want.conditionType)
		}
		if condition.ObservedGeneration != generation {
			return fmt.Errorf("%s tells of generation %d, want %d", condition.Type, condition.ObservedGeneration, generation)
		}
		if condition.Status != want.status || want.reason != "" && condition.Reason != want.reason {
			return fmt.Errorf("%s is %s with reason %s (%s), want %s %s",
				condition.Type, condition.Status, condition.Reason, condition.Message, want.status, want.reason)
		}
	}
	return nil
}

// policyIs complains unless a policy is at a stage, with conditions as expected.
func (c *cluster) policyIs(policy policiesv1.Policy, stage policiesv1.PolicyState, all ...expected) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		status := policy.GetStatus()
		if err := checkConditions(status.Conditions, policy.GetGeneration(), all...); err != nil {
			return err
		}
		if status.PolicyStatus != stage {
			return fmt.Errorf("policy %s is %q, want %q", policy.GetName(), status.PolicyStatus, stage)
		}
		return nil
	}
}

func (c *cluster) serverIs(server *policiesv1.PolicyServer, all ...expected) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
			return err
		}
		return checkConditions(server.Status.Conditions, server.Generation, all...)
	}
}

var enforced = []expected{
	{policiesv1.ConditionPolicyActive, metav1.ConditionTrue, "PolicyActive"},
	{policiesv1.ConditionPolicyUniquelyReachable, metav1.ConditionTrue, "LatestReplicaSetIsUniquelyReachable"},
	{policiesv1.ConditionPolicyServerConfigurationUpToDate, metav1.ConditionTrue, "ConfigurationVersionMatch"},
	{policiesv1.ConditionReady, metav1.ConditionTrue, "Enforced"},
}

// activate makes a server with ready replicas and a policy that they enforce.
func (c *cluster) activate(t *testing.T, name string) (*policiesv1.ClusterAdmissionPolicy, []*replica) {
	t.Helper()
	c.createServer(t, name)
	policy := c.createPolicy(t, name, name)
	within(t, patience, c.configures(policy))
	replicas := c.startReplicas(t, name, 2)
	within(t, patience, c.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	return policy, replicas
}

// events returns the reasons of the Events about an object, in the order of their times.
func (c *cluster) events(t *testing.T, object client.Object) []string {
	t.Helper()
	var list eventsv1.EventList
	if err := c.admin.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var reasons []string
	for _, event := range list.Items {
		if event.Regarding.UID == object.GetUID() {
			reasons = append(reasons, event.Type+" "+event.Reason)
		}
	}
	return reasons
}
