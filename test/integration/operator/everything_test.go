//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// unhurried is how long a step may take of which only the end counts.
const unhurried = 2 * time.Minute

// liveThroughEverything has the operator do all that it can do, from its first start until
// nothing is left of the installation.
func liveThroughEverything(t *testing.T, c *cluster) {
	t.Helper()
	within(t, unhurried, c.mayWork)
	c.startWithWebhooks(t)
	within(t, unhurried, c.answers)
	server := c.createServer(t, "rights")
	policies := c.aPolicyOfEachKind(t, server.Name)
	if err := c.CreateKubewarden(); err != nil {
		t.Fatal(err)
	}
	within(t, unhurried, c.providerIs(operatorv1alpha1.CertificateProviderBuiltIn))
	replicas := c.startReplicas(t, server.Name, 2)
	c.enforceAll(t, policies, replicas)

	c.beginToMutate(t, replicas)
	c.suspendTwice(t, policies, replicas)
	c.changeProviders(t)
	c.scan(t)
	c.followRecommendations(t)
	c.readTheCluster(t, server.Name)
	c.rememberOldVersions(t)
	c.monitor(t)
	c.losePriorityClass(t)
	c.scaleByItself(t, server)
	c.wantLess(t, server, replicas)
	c.orphan(t, policies)
	c.removeAll(t, server)
	if err := c.StopOperator(); err != nil {
		t.Error(err)
	}
}

// mayWork complains until the API server has taken notice of the operator's rights.
func (c *cluster) mayWork(ctx context.Context) error {
	for _, attributes := range []authorizationv1.ResourceAttributes{
		{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: namespace},
		{Verb: "list", Resource: "pods", Namespace: namespace},
		{Verb: "list", Group: "policies.kubewarden.io", Resource: "policyservers"},
	} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + namespace + ":" + simulator.ServiceAccount, ResourceAttributes: &attributes,
		}}
		if err := c.admin.Create(ctx, review); err != nil {
			return err
		}
		if !review.Status.Allowed {
			return fmt.Errorf("the operator may not yet %s %s", attributes.Verb, attributes.Resource)
		}
	}
	return nil
}

func (c *cluster) aPolicyOfEachKind(t *testing.T, server string) []policiesv1.Policy {
	t.Helper()
	others := kinds(server)
	policies := make([]policiesv1.Policy, 0, 1+len(others))
	policies = append(policies, c.createPolicy(t, "rights", server))
	for _, kind := range others {
		c.create(t, kind.policy)
		policies = append(policies, kind.policy)
	}
	return policies
}

// enforceAll has replicas load every policy, until all are enforced.
func (c *cluster) enforceAll(t *testing.T, policies []policiesv1.Policy, replicas []*replica) {
	t.Helper()
	for _, policy := range policies {
		within(t, unhurried, c.configures(policy))
	}
	for _, replica := range replicas {
		replica.load(t)
	}
	for _, policy := range policies {
		within(t, unhurried, c.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	}
}

// beginToMutate has a policy begin to mutate, and leave off.
func (c *cluster) beginToMutate(t *testing.T, replicas []*replica) {
	t.Helper()
	policy := recommendedPolicy("rights")
	for _, mutating := range []bool{true, false} {
		change(t, c, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Mutating = mutating })
		c.enforceAll(t, []policiesv1.Policy{policy}, replicas)
		_, unwanted, err := render.Webhooks(policy)
		if err != nil {
			t.Fatal(err)
		}
		within(t, unhurried, func(ctx context.Context) error { return c.mustNotExist(ctx, unwanted) })
	}
}

// suspendTwice has the same Events told twice.
func (c *cluster) suspendTwice(t *testing.T, policies []policiesv1.Policy, replicas []*replica) {
	t.Helper()
	for range 2 {
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
			k.Spec.Enforcement = operatorv1alpha1.EnforcementSuspended
		})
		within(t, unhurried, func(ctx context.Context) error { return c.mustNotExist(ctx, validatingWebhook("rights")) })
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
			k.Spec.Enforcement = operatorv1alpha1.EnforcementEnabled
		})
		c.enforceAll(t, policies, replicas)
	}
}

// changeProviders has cert-manager issue the certificates, and then the operator again.
func (c *cluster) changeProviders(t *testing.T) {
	t.Helper()
	for _, step := range []func() error{c.InstallCertManager, c.StartIssuer} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(provider operatorv1alpha1.CertificateProvider) {
		change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { k.Spec.Certificates.Provider = provider })
		within(t, unhurried, c.providerIs(provider))
	}
	ask(operatorv1alpha1.CertificateProviderCertManager)
	within(t, unhurried, func(ctx context.Context) error {
		return c.mustNotExist(ctx, named(&corev1.Secret{}, render.BuiltInCA))
	})
	ask(operatorv1alpha1.CertificateProviderBuiltIn)
	within(t, unhurried, func(ctx context.Context) error {
		for _, theirs := range []client.Object{
			named(&certmanagerv1.Certificate{}, render.CertificateCA), named(&certmanagerv1.Issuer{}, render.IssuerCA),
		} {
			if err := c.mustNotExist(ctx, theirs); err != nil {
				return err
			}
		}
		return nil
	})
}

// scan asks for a scan, and then for none any more.
func (c *cluster) scan(t *testing.T) {
	t.Helper()
	within(t, unhurried, func(ctx context.Context) error { return c.mustExist(ctx, auditCronJob()) })
	ask(t, c, "now")
	kubewarden := theKubewarden()
	within(t, unhurried, c.tellsOfRequest(kubewarden, operatorv1alpha1.AuditOutcomeRunning, "now"))
	end(t, c, kubewarden.Status.Audit.LastRequest.JobName, batchv1.JobComplete)
	within(t, unhurried, c.tellsOfRequest(kubewarden, operatorv1alpha1.AuditOutcomeComplete, "now"))
	configureAudit(t, c, func(audit *operatorv1alpha1.Audit) { audit.Enabled = new(false) })
	within(t, unhurried, func(ctx context.Context) error { return mustAllBeGone(ctx, c, auditChildren()) })
}

func (c *cluster) followRecommendations(t *testing.T) {
	t.Helper()
	recommend(t, c, func(wanted *operatorv1alpha1.RecommendedPolicies) { wanted.Enabled = true })
	within(t, unhurried, recommendedAre(c, policiesv1.PolicyModeMonitor))
	recommend(t, c, func(wanted *operatorv1alpha1.RecommendedPolicies) { wanted.Enabled = false })
	within(t, unhurried, func(ctx context.Context) error { return noneRecommended(ctx, c) })
}

// readTheCluster has a policy declare that it reads the cluster, and leave off.
func (c *cluster) readTheCluster(t *testing.T, server string) {
	t.Helper()
	policy := recommendedPolicy("rights")
	declare(t, c, policy, podKind)
	within(t, unhurried, c.contextReaders(namespace+"/"+render.DeploymentName(server)))
	within(t, unhurried, c.contextIs(policy, metav1.ConditionTrue))
	declare(t, c, policy)
	within(t, unhurried, c.contextReaders())
}

// monitor has the kinds of the Prometheus operator come, and what is made of them go.
func (c *cluster) monitor(t *testing.T) {
	t.Helper()
	if err := c.installMonitoringKinds(); err != nil {
		t.Fatal(err)
	}
	within(t, unhurried, c.monitoringIs(operatorv1alpha1.ReasonApplied))
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { k.Spec.Telemetry.Monitoring.Enabled = new(false) })
	within(t, unhurried, c.monitoringIs(operatorv1alpha1.ReasonDisabled))
	for _, object := range monitoringObjects() {
		within(t, unhurried, func(ctx context.Context) error { return c.mustNotExist(ctx, object) })
	}
}

// wantLess has children go that are not wanted any more, the default PolicyServer among them.
func (c *cluster) wantLess(t *testing.T, server *policiesv1.PolicyServer, replicas []*replica) {
	t.Helper()
	change(t, c, server, func(s *policiesv1.PolicyServer) {
		s.Spec.Replicas, s.Spec.ServiceAccountName, s.Spec.ImagePullSecret = new(int32(1)), "default", "absent"
	})
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
		k.Spec.NetworkPolicies.Enabled, k.Spec.DefaultPolicyServer.Enabled = new(false), new(false)
	})
	replicas[1].stop(t)
	within(t, unhurried, func(ctx context.Context) error {
		for _, child := range []client.Object{
			named(&policyv1.PodDisruptionBudget{}, render.DeploymentName(server.Name)),
			named(&corev1.ServiceAccount{}, render.DeploymentName(server.Name)),
			named(&networkingv1.NetworkPolicy{}, render.DeploymentName(server.Name)),
			defaultServer(),
		} {
			if err := c.mustNotExist(ctx, child); err != nil {
				return err
			}
		}
		reports := named(&corev1.ConfigMap{}, contract.ReportConfigMapName(server.Name))
		if err := c.mustExist(ctx, reports); err != nil {
			return err
		}
		if _, stays := reports.Data[replicas[1].name]; stays {
			return fmt.Errorf("the report of %s stays", replicas[1].name)
		}
		return nil
	})
}

// orphan takes the finalizers off policies while the operator is away, and removes them.
func (c *cluster) orphan(t *testing.T, policies []policiesv1.Policy) {
	t.Helper()
	if err := c.StopOperator(); err != nil {
		t.Fatal(err)
	}
	withoutFinalizers := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	for _, policy := range policies {
		if err := c.admin.Patch(t.Context(), policy, withoutFinalizers); err != nil {
			t.Fatal(err)
		}
		if err := c.admin.Delete(t.Context(), policy); err != nil {
			t.Fatal(err)
		}
	}
	c.startWithWebhooks(t)
	for _, policy := range policies {
		webhook, _, err := render.Webhooks(policy)
		if err != nil {
			t.Fatal(err)
		}
		within(t, unhurried, func(ctx context.Context) error { return c.mustNotExist(ctx, webhook) })
	}
}

// removeAll removes the Kubewarden first: what the operator made for a server that stays is
// for it to remove, not for the garbage collector.
func (c *cluster) removeAll(t *testing.T, server *policiesv1.PolicyServer) {
	t.Helper()
	for _, object := range []client.Object{theKubewarden(), server} {
		if err := c.admin.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		within(t, unhurried, func(ctx context.Context) error { return c.mustNotExist(ctx, object) })
	}
	for _, child := range childrenOf(server.Name) {
		if err := c.mustNotExist(t.Context(), child); err != nil {
			t.Error(err)
		}
	}
}
