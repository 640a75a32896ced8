//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// promised is an object of one of our kinds, with what its Ready condition says while all is
// well and once no replica is ready, and with a child that somebody may delete.
type promised struct {
	object       client.Object
	well, unwell string
	child        client.Object
}

func (p promised) conditions() []metav1.Condition {
	switch object := p.object.(type) {
	case *operatorv1alpha1.Kubewarden:
		return object.Status.Conditions
	case *policiesv1.PolicyServer:
		return object.Status.Conditions
	case policiesv1.Policy:
		return object.GetStatus().Conditions
	default:
		panic(fmt.Sprintf("%T has no conditions", object))
	}
}

// isReady complains unless Ready is as expected, tells of the current generation, and an
// Event of that type has told of the transition.
func (p promised) isReady(t *testing.T, status metav1.ConditionStatus, reason, event string) {
	t.Helper()
	within(t, patience, func(ctx context.Context) error {
		if err := shared.admin.Get(ctx, client.ObjectKeyFromObject(p.object), p.object); err != nil {
			return err
		}
		return checkConditions(p.conditions(), p.object.GetGeneration(), expected{policiesv1.ConditionReady, status, reason})
	})
	within(t, patience, shared.hasEvent(t, p.object, event+" "+reason))
}

// everyKind is an object of each of our kinds; those of the policies and their server are made.
func everyKind(t *testing.T, server *policiesv1.PolicyServer) []promised {
	t.Helper()
	all := append(make([]promised, 0, 6), []promised{
		{
			theKubewarden(), operatorv1alpha1.ReasonEnforcing, operatorv1alpha1.ReasonDefaultPolicyServerNotReady,
			named(&batchv1.CronJob{}, render.AuditScannerName),
		},
		{
			server, policiesv1.ReasonServing, policiesv1.ReasonWaitingForReplicas,
			named(&appsv1.Deployment{}, "policy-server-"+server.Name),
		},
		{
			shared.createPolicy(t, "promised", server.Name), policiesv1.ReasonEnforced, policiesv1.ReasonPolicyServerNotReady,
			validatingWebhook("promised"),
		},
	}...)
	for id, policy := range map[string]policiesv1.Policy{
		"kw.capg.promised":        clusterGroup("promised", server.Name),
		"kw.ap.default.promised":  namespacedPolicy("promised", server.Name),
		"kw.apg.default.promised": namespacedGroup("promised", server.Name),
	} {
		shared.create(t, policy)
		webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: id}}
		all = append(all, promised{policy, policiesv1.ReasonEnforced, policiesv1.ReasonPolicyServerNotReady, webhook})
	}
	return all
}

func TestEveryKindHasATrueReadyConditionAndEventsAndDriftIsHealed(t *testing.T) {
	server := shared.createServer(t, "promised")
	all := everyKind(t, server)
	for _, p := range all {
		if policy, ok := p.object.(policiesv1.Policy); ok {
			within(t, patience, shared.configures(policy))
		}
	}
	replicas := append(shared.startReplicas(t, "default", 2), shared.startReplicas(t, server.Name, 2)...)
	for _, p := range all {
		p.isReady(t, metav1.ConditionTrue, p.well, corev1.EventTypeNormal)
	}
	for _, p := range all {
		t.Run(fmt.Sprintf("%T of %T", p.child, p.object), func(t *testing.T) {
			if err := shared.mustExist(t.Context(), p.child); err != nil {
				t.Fatal(err)
			}
			before := p.child.GetUID()
			if err := shared.admin.Delete(t.Context(), p.child); err != nil {
				t.Fatal(err)
			}
			within(t, healing, func(ctx context.Context) error {
				err := shared.mustExist(ctx, p.child)
				if err == nil && p.child.GetUID() == before {
					err = fmt.Errorf("%T %s is still the old one", p.child, p.child.GetName())
				}
				return err
			})
		})
	}
	for _, replica := range replicas {
		replica.setReady(t, corev1.ConditionFalse)
	}
	for _, p := range all {
		p.isReady(t, metav1.ConditionFalse, p.unwell, corev1.EventTypeWarning)
	}
	for _, replica := range replicas {
		replica.stop(t)
	}
}

// A policy is as active as its replicas say today: upstream never takes back what it said.
func TestStatusComesFromReplicaReports(t *testing.T) {
	policy, replicas := shared.activate(t, "reported")
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("b") })
	within(t, patience, shared.configures(policy))
	counted := func(enforcing int32, status metav1.ConditionStatus, reason string) {
		t.Helper()
		within(t, patience, func(ctx context.Context) error {
			err := shared.policyIs(policy, policiesv1.PolicyStateActive, expected{policiesv1.ConditionReady, status, reason})(ctx)
			if err != nil {
				return err
			}
			want := &policiesv1.PolicyReplicas{Ready: 2, Enforcing: enforcing}
			if diff := cmp.Diff(want, policy.Status.Replicas); diff != "" {
				return fmt.Errorf("unexpected replicas (-want +got):\n%s", diff)
			}
			return nil
		})
	}
	counted(0, metav1.ConditionFalse, policiesv1.ReasonLoading)
	replicas[0].load(t)
	counted(1, metav1.ConditionFalse, policiesv1.ReasonLoading)
	revisions := map[string]int32{}
	for _, served := range policy.Status.Served {
		revisions[served.Revision] = served.Replicas
	}
	if len(revisions) != 2 {
		t.Errorf("status.served has the revisions %v, want the old one and the new one", revisions)
	}
	replicas[1].load(t)
	counted(2, metav1.ConditionTrue, policiesv1.ReasonEnforced)
}

func TestNamespaceSelectorMatchLabelsArriveInTheWebhook(t *testing.T) {
	policy, _ := shared.activate(t, "labelled")
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "production"}}
	})
	want := metav1.LabelSelector{
		MatchLabels: map[string]string{"env": "production"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{namespace},
		}},
	}
	webhook := validatingWebhook("labelled")
	within(t, patience, func(ctx context.Context) error {
		if err := shared.mustExist(ctx, webhook); err != nil {
			return err
		}
		if diff := cmp.Diff(&want, webhook.Webhooks[0].NamespaceSelector); diff != "" {
			return fmt.Errorf("namespaceSelector (-want +got):\n%s", diff)
		}
		return nil
	})
}

// What a user gets who writes nothing but the name of a PolicyServer.
func TestHighAvailabilityIsTheDefault(t *testing.T) {
	shared.createServer(t, "available")
	deployment := named(&appsv1.Deployment{}, "policy-server-available")
	budget := named(&policyv1.PodDisruptionBudget{}, "policy-server-available")
	guard := named(&networkingv1.NetworkPolicy{}, "policy-server-available")
	for _, child := range []client.Object{deployment, budget, guard} {
		within(t, patience, func(ctx context.Context) error { return shared.mustExist(ctx, child) })
	}
	if got := *deployment.Spec.Replicas; got != 2 {
		t.Errorf("there are %d replicas, want 2", got)
	}
	template := deployment.Spec.Template
	if got := template.Spec.PriorityClassName; got != render.PriorityClassName {
		t.Errorf("Pods have the priority class %q, want %q", got, render.PriorityClassName)
	}
	for _, selects := range map[string]*metav1.LabelSelector{"the budget": budget.Spec.Selector, "the NetworkPolicy": &guard.Spec.PodSelector} {
		if selector, err := metav1.LabelSelectorAsSelector(selects); err != nil || !selector.Matches(labels.Set(template.Labels)) {
			t.Errorf("%v does not select Pods with the labels %v: %v", selects, template.Labels, err)
		}
	}
	if allowed := budget.Spec.MaxUnavailable; allowed == nil || allowed.IntValue() != 1 {
		t.Errorf("the budget lets %v Pods be away, want one", allowed)
	}
	spread := template.Spec.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname || spread[0].WhenUnsatisfiable != corev1.ScheduleAnyway {
		t.Errorf("Pods are spread by %+v, want over nodes, where that is possible", spread)
	}
}
