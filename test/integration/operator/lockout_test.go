//go:build integration

package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// TestNoWebhookLocksACluster has a policy that guards everything and fails closed, and no
// policy server that answers: nothing of a user passes, what the cluster lives by does, and so
// does the way out.
func TestNoWebhookLocksACluster(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "waits"}}
	pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "example.test/image"}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "some-controller"}}
	for _, object := range []client.Object{pod, account} {
		if err := c.admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	guardEverything(t, c)

	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "guarded"}}
	refused := func(ctx context.Context) error {
		err := c.admin.Create(ctx, configMap.DeepCopy(), client.DryRunAll)
		switch {
		case err == nil:
			return errors.New("the ConfigMap of a user passes")
		case !strings.Contains(err.Error(), "failed calling webhook"):
			return fmt.Errorf("the ConfigMap of a user is not refused for want of a policy server: %w", err)
		default:
			return nil
		}
	}
	within(t, patience, refused)
	for name, request := range vitalRequests(pod, account) {
		t.Run(name, func(t *testing.T) {
			config := rest.CopyConfig(c.Config)
			// The rights are not what is looked at here, the webhooks are.
			config.Impersonate = rest.ImpersonationConfig{UserName: request.user, Groups: append(request.groups, "system:masters")}
			own, err := c.Client(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := request.send(t.Context(), client.NewDryRunClient(own)); err != nil {
				t.Error(err)
			}
		})
	}
	if err := refused(t.Context()); err != nil {
		t.Error(err)
	}

	suspend := []byte(fmt.Sprintf(`{"spec":{"enforcement":%q}}`, operatorv1alpha1.EnforcementSuspended))
	if err := c.admin.Patch(t.Context(), theKubewarden(), client.RawPatch("application/merge-patch+json", suspend)); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return c.admin.Create(ctx, configMap.DeepCopy(), client.DryRunAll) })
}

// guardEverything makes a policy for all requests, which imitated replicas serve: they
// report, and answer no request.
func guardEverything(t *testing.T, c *cluster) {
	t.Helper()
	c.createServer(t, "lockout")
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "lockout"}}
	policy.Spec.PolicyServer = "lockout"
	policy.Spec.Module = "registry://example.test/labels:v1"
	policy.Spec.TimeoutSeconds = new(int32(2))
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		APIGroups:  []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"},
	}}
	c.create(t, policy)
	within(t, patience, c.configures(policy))
	c.startReplicas(t, "lockout", 2)
	within(t, patience, c.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	webhook := validatingWebhook("lockout")
	if err := c.mustExist(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	if got := *webhook.Webhooks[0].FailurePolicy; got != admissionregistrationv1.Fail {
		t.Fatalf("failurePolicy is %s, want Fail", got)
	}
}

// vital is a request that must pass whatever policies say.
type vital struct {
	user   string
	groups []string
	send   func(context.Context, client.Client) error
}

func vitalRequests(pod *corev1.Pod, account *corev1.ServiceAccount) map[string]vital {
	create := func(object client.Object) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error { return c.Create(ctx, object) }
	}
	lease := func(namespace string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "vital"}}
	}
	nodes := []string{"system:nodes"}
	return map[string]vital{
		"a node registers": {
			"system:node:n1", nodes, create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}),
		},
		"a node tells that it lives":             {"system:node:n1", nodes, create(lease(corev1.NamespaceNodeLease))},
		"a leader of kube-system keeps its lead": {"system:kube-scheduler", nil, create(lease(metav1.NamespaceSystem))},
		"the scheduler binds a Pod": {"system:kube-scheduler", nil, func(ctx context.Context, c client.Client) error {
			return c.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}})
		}},
		"a controller gets its token": {"system:kube-controller-manager", nil, func(ctx context.Context, c client.Client) error {
			return c.SubResource("token").Create(ctx, account, &authenticationv1.TokenRequest{})
		}},
		"a token is reviewed": {"somebody", nil, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "t"}})
		}},
		"enforcement is suspended": {"somebody", nil, func(ctx context.Context, c client.Client) error {
			return c.Patch(ctx, theKubewarden(), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"enforcement":"Suspended"}}`)))
		}},
	}
}
