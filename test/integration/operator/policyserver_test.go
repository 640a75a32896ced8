//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

func named[T client.Object](object T, name string) T {
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// childrenOf are all children of a PolicyServer, empty.
func childrenOf(server string) []client.Object {
	name := "policy-server-" + server
	return []client.Object{
		named(&corev1.ConfigMap{}, name),
		named(&corev1.ConfigMap{}, name+"-replicas"),
		named(&corev1.ServiceAccount{}, name),
		named(&rbacv1.Role{}, name),
		named(&rbacv1.RoleBinding{}, name),
		named(&certmanagerv1.Certificate{}, name+"-issued"),
		named(&corev1.Secret{}, name+"-issued"),
		named(&corev1.Secret{}, name),
		named(&corev1.Service{}, name),
		named(&networkingv1.NetworkPolicy{}, name),
		named(&policyv1.PodDisruptionBudget{}, name),
		named(&appsv1.Deployment{}, name),
	}
}

func TestPolicyServerHasChildren(t *testing.T) {
	server := shared.createServer(t, "children")
	within(t, patience, func(ctx context.Context) error {
		for _, child := range childrenOf("children") {
			if err := shared.mustExist(ctx, child); err != nil {
				return err
			}
			controller := metav1.GetControllerOf(child)
			if controller == nil || controller.UID != server.UID {
				return fmt.Errorf("%T %s is controlled by %v, want the PolicyServer", child, child.GetName(), controller)
			}
		}
		return nil
	})
	within(t, patience, shared.serverIs(server,
		expected{policiesv1.ConditionCertSecretReconciled, metav1.ConditionTrue, "ReconciliationSucceeded"},
		expected{policiesv1.ConditionConfigMapReconciled, metav1.ConditionTrue, "ReconciliationSucceeded"},
		expected{policiesv1.ConditionPodDisruptionBudgetReconciled, metav1.ConditionTrue, "ReconciliationSucceeded"},
		expected{policiesv1.ConditionDeploymentReconciled, metav1.ConditionTrue, "ReconciliationSucceeded"},
		expected{policiesv1.ConditionServiceReconciled, metav1.ConditionTrue, "ReconciliationSucceeded"},
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "WaitingForReplicas"},
	))
	if got, want := server.Finalizers, []string{policiesv1.Finalizer}; !cmp.Equal(got, want) {
		t.Errorf("finalizers = %v, want %v", got, want)
	}
	if got := server.Status.Image; got != simulator.OperatorImage {
		t.Errorf("status.image = %q, want the operator's own %q", got, simulator.OperatorImage)
	}

	shared.startReplicas(t, "children", 2)
	within(t, patience, shared.serverIs(server, expected{policiesv1.ConditionReady, metav1.ConditionTrue, "Serving"}))
	want := &policiesv1.PolicyServerReplicas{Wanted: 2, Ready: 2, UpToDate: 2}
	if diff := cmp.Diff(want, server.Status.Replicas); diff != "" {
		t.Errorf("unexpected replicas (-want +got):\n%s", diff)
	}
}

func TestReplicasHaveNoOtherRights(t *testing.T) {
	shared.createServer(t, "rights")
	replica := shared.startReplica(t, "rights", "policy-server-rights-0")
	replica.load(t)
	tests := map[string]func(context.Context) error{
		"read the mounted Secret": func(ctx context.Context) error {
			return replica.Client.Get(ctx, key("policy-server-rights"), &corev1.Secret{})
		},
		"read the ConfigMap of another server": func(ctx context.Context) error {
			return replica.Client.Get(ctx, key("policy-server-default"), &corev1.ConfigMap{})
		},
		"list ConfigMaps": func(ctx context.Context) error {
			return replica.Client.List(ctx, &corev1.ConfigMapList{}, client.InNamespace(namespace))
		},
		"change its own policies": func(ctx context.Context) error {
			configMap := named(&corev1.ConfigMap{}, contract.ConfigMapName("rights"))
			return replica.Client.Patch(ctx, configMap, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"a":"b"}}`)))
		},
	}
	for name, attempt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := attempt(t.Context()); !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want it to be forbidden", err)
			}
		})
	}
}

func TestDeletedChildrenHeal(t *testing.T) {
	server := shared.createServer(t, "deleted")
	within(t, patience, shared.serverIs(server,
		expected{policiesv1.ConditionServiceReconciled, metav1.ConditionTrue, ""}))
	for _, child := range childrenOf("deleted") {
		if child.GetName() == "policy-server-deleted-issued" {
			continue // issued anew, which is the issuer's to do
		}
		t.Run(fmt.Sprintf("%T %s", child, child.GetName()), func(t *testing.T) {
			if err := shared.mustExist(t.Context(), child); err != nil {
				t.Fatal(err)
			}
			before := child.GetUID()
			if err := shared.admin.Delete(t.Context(), child); err != nil {
				t.Fatal(err)
			}
			within(t, healing, func(ctx context.Context) error {
				err := shared.mustExist(ctx, child)
				if err == nil && child.GetUID() == before {
					err = fmt.Errorf("%T is still the old one", child)
				}
				return err
			})
		})
	}
}

func TestEditedChildrenHeal(t *testing.T) {
	server := shared.createServer(t, "edited")
	within(t, patience, shared.serverIs(server,
		expected{policiesv1.ConditionServiceReconciled, metav1.ConditionTrue, ""}))
	t.Run("policies", func(t *testing.T) {
		configMap := named(&corev1.ConfigMap{}, "policy-server-edited")
		change(t, shared, configMap, func(c *corev1.ConfigMap) { c.Data[contract.KeyPolicies] = `{"kw.cap.x":{}}` })
		within(t, healing, func(ctx context.Context) error {
			err := shared.mustExist(ctx, configMap)
			if got := configMap.Data[contract.KeyPolicies]; err == nil && got != "{}" {
				err = fmt.Errorf("policies.yml is %s", got)
			}
			return err
		})
	})
	t.Run("port", func(t *testing.T) {
		service := named(&corev1.Service{}, "policy-server-edited")
		change(t, shared, service, func(s *corev1.Service) { s.Spec.Ports[0].Port = 444 })
		within(t, healing, func(ctx context.Context) error {
			err := shared.mustExist(ctx, service)
			if got := service.Spec.Ports[0].Port; err == nil && got != 443 {
				err = fmt.Errorf("the first port is %d", got)
			}
			return err
		})
	})
	t.Run("selector", func(t *testing.T) {
		service := named(&corev1.Service{}, "policy-server-edited")
		if err := shared.mustExist(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		want := service.Spec.Selector
		change(t, shared, service, func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "somebody-else"} })
		within(t, healing, func(ctx context.Context) error {
			err := shared.mustExist(ctx, service)
			if diff := cmp.Diff(want, service.Spec.Selector); err == nil && diff != "" {
				err = fmt.Errorf("the selector is changed:\n%s", diff)
			}
			return err
		})
	})
}

func TestEditedPortsHeal(t *testing.T) {
	server := shared.createServer(t, "ports")
	within(t, patience, shared.serverIs(server,
		expected{policiesv1.ConditionServiceReconciled, metav1.ConditionTrue, ""}))
	for name, edit := range map[string]func(*corev1.Service){
		"the number of every port": func(s *corev1.Service) { s.Spec.Ports[0].Port, s.Spec.Ports[1].Port = 444, 445 },
		"every port": func(s *corev1.Service) {
			s.Spec.Ports = []corev1.ServicePort{{Name: "x", Port: 1}, {Name: "policy-server", Port: 2}}
		},
		"one port for all": func(s *corev1.Service) { s.Spec.Ports = []corev1.ServicePort{{Port: 80}} },
		"a port before others": func(s *corev1.Service) {
			s.Spec.Ports = append([]corev1.ServicePort{{Name: "x", Port: 1}}, s.Spec.Ports...)
		},
		"the order of ports": func(s *corev1.Service) { slices.Reverse(s.Spec.Ports) },
	} {
		t.Run(name, func(t *testing.T) {
			service := named(&corev1.Service{}, "policy-server-ports")
			change(t, shared, service, edit)
			within(t, healing, func(ctx context.Context) error {
				err := shared.mustExist(ctx, service)
				got := make([]int32, 0, 2)
				for _, port := range service.Spec.Ports {
					got = append(got, port.Port)
				}
				if want := []int32{443, 8080}; err == nil && !slices.Equal(got, want) {
					err = fmt.Errorf("the ports are %v, want %v", got, want)
				}
				return err
			})
		})
	}
}

func TestDisruptionBudgetGoesWithTheSecondReplica(t *testing.T) {
	server := shared.createServer(t, "budget")
	budget := named(&policyv1.PodDisruptionBudget{}, "policy-server-budget")
	within(t, patience, func(ctx context.Context) error { return shared.mustExist(ctx, budget) })
	one := int32(1)
	change(t, shared, server, func(s *policiesv1.PolicyServer) { s.Spec.Replicas = &one })
	within(t, patience, func(ctx context.Context) error { return shared.mustNotExist(ctx, budget) })
}

func TestReportsOfPodsThatAreGoneArePruned(t *testing.T) {
	shared.createServer(t, "prune")
	replicas := shared.startReplicas(t, "prune", 2)
	replicas[0].stop(t)
	reports := named(&corev1.ConfigMap{}, contract.ReportConfigMapName("prune"))
	within(t, patience, func(ctx context.Context) error {
		if err := shared.mustExist(ctx, reports); err != nil {
			return err
		}
		_, gone := reports.Data[replicas[0].name]
		_, stays := reports.Data[replicas[1].name]
		if gone || !stays {
			return fmt.Errorf("reports are of %v", reports.Data)
		}
		return nil
	})
}

func TestTheNameOfAnImageTellsItsContract(t *testing.T) {
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "image"}}
	server.Spec.Image = "example.test/somebody/else:v1"
	shared.create(t, server)
	within(t, patience, shared.runs("image", "example.test/somebody/else:v1", 0))
	change(t, shared, server, func(s *policiesv1.PolicyServer) { s.Spec.Image = "mirror.test/kubewarden-operator:v1" })
	within(t, patience, shared.runs("image", "mirror.test/kubewarden-operator:v1", 1))
	within(t, patience, shared.serverIs(server,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "WaitingForReplicas"},
		expected{policiesv1.ConditionServiceReconciled, metav1.ConditionTrue, ""}))
}

// runs complains unless the Pods of a server run an image with so many arguments.
func (c *cluster) runs(server, image string, arguments int) func(context.Context) error {
	return func(ctx context.Context) error {
		deployment := named(&appsv1.Deployment{}, render.DeploymentName(server))
		if err := c.mustExist(ctx, deployment); err != nil {
			return err
		}
		container := deployment.Spec.Template.Spec.Containers[0]
		if container.Image != image || len(container.Args) != arguments {
			return fmt.Errorf("Pods run %s with arguments %v, want %s with %d", container.Image, container.Args, image, arguments)
		}
		return nil
	}
}

func TestForeignObjectIsLeftAlone(t *testing.T) {
	service := named(&corev1.Service{}, "policy-server-foreign")
	service.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	shared.create(t, service)
	server := shared.createServer(t, "foreign")
	within(t, patience, shared.serverIs(server,
		expected{policiesv1.ConditionServiceReconciled, metav1.ConditionFalse, "ReconciliationFailed"},
		expected{policiesv1.ConditionDeploymentReconciled, metav1.ConditionTrue, ""},
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "ReconciliationFailed"}))
	if err := shared.mustExist(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	if got := service.Spec.Ports[0].Port; got != 80 || len(service.OwnerReferences) > 0 {
		t.Errorf("the Service was touched: port %d, owners %v", got, service.OwnerReferences)
	}
	if err := shared.admin.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	within(t, patience, shared.serverIs(server, expected{policiesv1.ConditionServiceReconciled, metav1.ConditionTrue, ""}))
}

// What a spec names and users bring may come later, and may be wrong at first.
func TestReferencesMayComeLater(t *testing.T) {
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "references"}}
	server.Spec.ServiceAccountName = "reader"
	server.Spec.ImagePullSecret = "login"
	server.Spec.VerificationConfig = "signatures"
	server.Spec.SigstoreTrustConfig = "roots"
	shared.create(t, server)
	complains := func(want string) {
		t.Helper()
		within(t, patience, func(ctx context.Context) error {
			if err := shared.serverIs(server, expected{policiesv1.ConditionReady, metav1.ConditionFalse, "UnresolvedReference"})(ctx); err != nil {
				return err
			}
			got := apimeta.FindStatusCondition(server.Status.Conditions, policiesv1.ConditionReady).Message
			if want := "0 of 2 replicas ready; " + want; got != want {
				return fmt.Errorf("the message is %q, want %q", got, want)
			}
			return nil
		})
	}
	complains("spec.serviceAccountName: there is no ServiceAccount kubewarden/reader; " +
		"spec.imagePullSecret: there is no Secret kubewarden/login; " +
		"spec.verificationConfig: there is no ConfigMap kubewarden/signatures; " +
		"spec.sigstoreTrustConfig: there is no ConfigMap kubewarden/roots")

	shared.create(t, named(&corev1.ServiceAccount{}, "reader"))
	opaque := named(&corev1.Secret{}, "login")
	shared.create(t, opaque)
	for name, key := range map[string]string{"signatures": "verification-config", "roots": "roots"} {
		configMap := named(&corev1.ConfigMap{}, name)
		configMap.Data = map[string]string{key: "{}"}
		shared.create(t, configMap)
	}
	complains(`spec.imagePullSecret secret "login" is not of type kubernetes.io/dockerconfigjson; ` +
		`spec.verificationConfig ConfigMap "signatures", key "verification-config": decode verification: config is missing signatures in both allOf and anyOff list; ` +
		`spec.sigstoreTrustConfig ConfigMap "roots" does not contain required key "sigstore-trust-config"`)

	if err := shared.admin.Delete(t.Context(), opaque); err != nil {
		t.Fatal(err)
	}
	login := named(&corev1.Secret{}, "login")
	login.Type, login.Data = corev1.SecretTypeDockerConfigJson, map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)}
	shared.create(t, login)
	change(t, shared, named(&corev1.ConfigMap{}, "signatures"), func(c *corev1.ConfigMap) {
		c.Data["verification-config"] = "apiVersion: v1\nallOf:\n- kind: githubAction\n  owner: somebody\n"
	})
	change(t, shared, named(&corev1.ConfigMap{}, "roots"), func(c *corev1.ConfigMap) { c.Data["sigstore-trust-config"] = "{}" })
	within(t, patience, shared.serverIs(server, expected{policiesv1.ConditionReady, metav1.ConditionFalse, "WaitingForReplicas"}))
}
