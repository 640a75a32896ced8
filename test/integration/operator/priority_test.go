//go:build integration

package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func priorityClass() *schedulingv1.PriorityClass {
	return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: render.PriorityClassName}}
}

// losePriorityClass has somebody delete the priority class, and the operator put it back.
func (c *cluster) losePriorityClass(t *testing.T) {
	t.Helper()
	class := priorityClass()
	if err := c.mustExist(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	before := class.UID
	if err := c.admin.Delete(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	within(t, unhurried, func(ctx context.Context) error {
		err := c.mustExist(ctx, class)
		if err == nil && class.UID == before {
			err = fmt.Errorf("PriorityClass %s is still the old one", class.Name)
		}
		return err
	})
}

// The API server makes no Pod of a class that does not exist.
func TestNoServerWaitsForAPriorityClass(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	server := c.createServer(t, "first")
	deployment := named(&appsv1.Deployment{}, render.DeploymentName(server.Name))
	within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, deployment) })
	generation := deployment.Generation

	// One that somebody deletes is put back, and restarts nothing.
	c.losePriorityClass(t)
	if err := c.mustExist(t.Context(), deployment); err != nil || deployment.Generation != generation {
		t.Errorf("the Deployment has generation %d, want the %d of before (%v)", deployment.Generation, generation, err)
	}

	// Where it may not be made, Pods do without, and get it once it is there.
	c.forbidPriorityClasses(t)
	if err := c.admin.Delete(t.Context(), priorityClass()); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.hasPriority(deployment, ""))
	within(t, patience, func(ctx context.Context) error {
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
			return err
		}
		condition := apimeta.FindStatusCondition(server.Status.Conditions, policiesv1.ConditionDeploymentReconciled)
		if condition == nil || condition.Status != metav1.ConditionTrue || !strings.Contains(condition.Message, "no classes here") {
			return fmt.Errorf("the condition is %+v, want one that tells why Pods have no priority class", condition)
		}
		return nil
	})
	second := c.createServer(t, "second")
	within(t, patience, c.hasPriority(named(&appsv1.Deployment{}, render.DeploymentName(second.Name)), ""))
	made := priorityClass()
	made.Value = 1000 // somebody's own, which is as good
	made.Labels = map[string]string{"allowed": "true"}
	if err := c.admin.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.hasPriority(deployment, render.PriorityClassName))
	if err := c.mustExist(t.Context(), made); err != nil || made.Value != 1000 || made.Labels["app.kubernetes.io/part-of"] != "" {
		t.Errorf("somebody's own class became %+v (%v)", made, err)
	}
}

func (c *cluster) hasPriority(deployment *appsv1.Deployment, class string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.mustExist(ctx, deployment); err != nil {
			return err
		}
		if got := deployment.Spec.Template.Spec.PriorityClassName; got != class {
			return fmt.Errorf("the Pods of %s have the priority class %q, want %q", deployment.Name, got, class)
		}
		return nil
	}
}

// forbidPriorityClasses has the API server refuse new ones but those that are labelled, as the
// owner of a cluster may.
func (c *cluster) forbidPriorityClasses(t *testing.T) {
	t.Helper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "no-classes"}}
	policy.Spec.MatchConstraints = &admissionregistrationv1.MatchResources{
		ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{schedulingv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"priorityclasses"},
			},
		}}},
	}
	policy.Spec.Validations = []admissionregistrationv1.Validation{{
		Expression: "has(object.metadata.labels) && 'allowed' in object.metadata.labels", Message: "no classes here",
	}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "no-classes"}}
	binding.Spec.PolicyName = policy.Name
	binding.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}
	for _, object := range []client.Object{policy, binding} {
		if err := c.admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	within(t, patience, func(ctx context.Context) error {
		probe := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Value: 1}
		if err := c.admin.Create(ctx, probe, client.DryRunAll); err == nil {
			return fmt.Errorf("priority classes are not yet forbidden")
		}
		return nil
	})
}
