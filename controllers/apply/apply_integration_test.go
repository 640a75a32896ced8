//go:build integration

package apply_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

var environment *applytest.Environment

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ours, err := labels.NewRequirement(render.LabelInstallation, selection.Exists, nil)
	if err != nil {
		return 0, err
	}
	// As the operator's caches: ConfigMaps that are not ours are not seen.
	environment, err = applytest.Start(map[client.Object]cache.ByObject{
		&corev1.ConfigMap{}: {Label: labels.NewSelector().Add(*ours), Field: fields.Everything()},
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	return m.Run(), nil
}

func newApplier() *apply.Applier {
	return apply.NewApplier(apply.Config{Client: environment.Cached, Uncached: environment.Uncached})
}

// newServer creates a PolicyServer and returns what its children are rendered from.
func newServer(t *testing.T, name string, mutate func(*policiesv1.PolicyServerSpec)) render.PolicyServerInput {
	t.Helper()
	server := &policiesv1.PolicyServer{}
	server.Name = name
	mutate(&server.Spec)
	if err := environment.Direct.Create(t.Context(), server); err != nil {
		t.Fatalf("create the PolicyServer: %v", err)
	}
	return render.PolicyServerInput{
		Config: render.Config{
			Namespace: applytest.Namespace, ServiceAccount: "kubewarden-operator", Image: "registry.example.com/kubewarden-operator:1",
		},
		Installation: render.Installation{Name: "kubewarden", UID: "b2a7c6de-0000-4000-8000-000000000001"},
		Server:       server,
	}
}

func nothing(*policiesv1.PolicyServerSpec) {}

func mustRender(t *testing.T, in render.PolicyServerInput) []render.Object {
	t.Helper()
	children, err := render.PolicyServer(in)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	return children
}

func mustApply(t *testing.T, applier *apply.Applier, owner client.Object, objects ...render.Object) {
	t.Helper()
	if err := applier.Apply(t.Context(), owner, objects...); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

func get[T client.Object](t *testing.T, object T) T {
	t.Helper()
	if err := environment.Direct.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatalf("get %T %s: %v", object, object.GetName(), err)
	}
	return object
}

func exists(t *testing.T, object client.Object) bool {
	t.Helper()
	err := environment.Direct.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatalf("get %T %s: %v", object, object.GetName(), err)
	}
	return err == nil
}

// settle waits until the caches show the objects as the API server has them.
func settle(t *testing.T, objects ...render.Object) {
	t.Helper()
	for _, object := range objects {
		key := client.ObjectKeyFromObject(object)
		live, _ := object.DeepCopyObject().(client.Object)
		cached, _ := object.DeepCopyObject().(client.Object)
		err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
			liveErr, cachedErr := environment.Direct.Get(ctx, key, live), environment.Cached.Get(ctx, key, cached)
			if apierrors.IsNotFound(liveErr) {
				return apierrors.IsNotFound(cachedErr), nil
			}
			return liveErr == nil && cachedErr == nil && live.GetResourceVersion() == cached.GetResourceVersion(), nil
		})
		if err != nil {
			t.Fatalf("wait for the cache to show %T %s: %v", object, key, err)
		}
	}
	environment.Requests.Take()
}

func resourceVersions(t *testing.T, objects []render.Object) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, object := range objects {
		live, _ := object.DeepCopyObject().(client.Object)
		versions[fmt.Sprintf("%T %s", object, object.GetName())] = get(t, live).GetResourceVersion()
	}
	return versions
}

// full sets what the API server rewrites or defaults: quantities, ports, environment.
func full(spec *policiesv1.PolicyServerSpec) {
	spec.Env = []corev1.EnvVar{{Name: "ONE", Value: "1"}, {Name: "EMPTY"}}
	spec.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000m"), corev1.ResourceMemory: resource.MustParse("0.5Gi")}
	spec.Annotations = map[string]string{"example.com/note": "x"}
	spec.Labels = map[string]string{"example.com/tier": "control"}
	spec.VerificationConfig = "signatures"
	spec.ImagePullSecret = "login"
	spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
}

func TestApplyCreatesChildrenControlledByTheirOwner(t *testing.T) {
	in := newServer(t, "creates", full)
	children := mustRender(t, in)
	mustApply(t, newApplier(), in.Server, children...)
	for _, child := range children {
		live, _ := child.DeepCopyObject().(client.Object)
		controller := metav1.GetControllerOf(get(t, live))
		if controller == nil || controller.UID != in.Server.UID || controller.Kind != "PolicyServer" || controller.BlockOwnerDeletion != nil {
			t.Errorf("%T %s is controlled by %+v, want the PolicyServer, which it does not block", child, child.GetName(), controller)
		}
		for _, entry := range live.GetManagedFields() {
			if entry.Manager != apply.FieldOwner || entry.Operation != metav1.ManagedFieldsOperationApply {
				t.Errorf("%T %s has fields of %s by %s, want none but ours", child, child.GetName(), entry.Manager, entry.Operation)
			}
		}
	}
}

func TestApplyAtRestMakesNoRequest(t *testing.T) {
	in := newServer(t, "rest", full)
	children := mustRender(t, in)
	applier := newApplier()
	mustApply(t, applier, in.Server, children...)
	settle(t, children...)
	mustApply(t, applier, in.Server, mustRender(t, in)...)
	if requests := environment.Requests.Take(); len(requests) > 0 {
		t.Errorf("requests at rest: %q", requests)
	}
}

func TestApplyAfterARestartChangesNothing(t *testing.T) {
	in := newServer(t, "restart", full)
	children := mustRender(t, in)
	mustApply(t, newApplier(), in.Server, children...)
	before := resourceVersions(t, children)
	settle(t, children...)
	restarted := newApplier()
	mustApply(t, restarted, in.Server, children...)
	if diff := cmp.Diff(before, resourceVersions(t, children)); diff != "" {
		t.Errorf("resource versions (-before +after the restart):\n%s", diff)
	}
	settle(t, children...)
	mustApply(t, restarted, in.Server, children...)
	if requests := environment.Requests.Take(); len(requests) > 0 {
		t.Errorf("requests at rest after the restart: %q", requests)
	}
}

func TestApplyHealsDrift(t *testing.T) {
	in := newServer(t, "drift", full)
	children := mustRender(t, in)
	applier := newApplier()
	mustApply(t, applier, in.Server, children...)
	name := client.ObjectKey{Namespace: applytest.Namespace, Name: "policy-server-drift"}

	t.Run("a field is changed", func(t *testing.T) {
		deployment := &appsv1.Deployment{}
		deployment.Name, deployment.Namespace = name.Name, name.Namespace
		get(t, deployment).Spec.Template.Spec.Containers[0].Image = "attacker.example.com/image"
		update(t, deployment)
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if got := get(t, deployment).Spec.Template.Spec.Containers[0].Image; got != in.Config.Image {
			t.Errorf("the image is %s, want %s", got, in.Config.Image)
		}
	})
	t.Run("a label is removed", func(t *testing.T) {
		service := &corev1.Service{}
		service.Name, service.Namespace = name.Name, name.Namespace
		delete(get(t, service).Labels, render.LabelPolicyServer)
		update(t, service)
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if got := get(t, service).Labels[render.LabelPolicyServer]; got != "drift" {
			t.Errorf("the label is %q, want drift", got)
		}
	})
	t.Run("a key is added to the configuration", func(t *testing.T) {
		configMap := &corev1.ConfigMap{}
		configMap.Name, configMap.Namespace = name.Name, name.Namespace
		wanted := slices.Sorted(maps.Keys(get(t, configMap).Data))
		configMap.Data[contract.KeyLastGood] = "attack"
		update(t, configMap)
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if got := slices.Sorted(maps.Keys(get(t, configMap).Data)); !slices.Equal(got, wanted) {
			t.Errorf("the keys are %v, want %v", got, wanted)
		}
	})
	t.Run("an object is deleted", func(t *testing.T) {
		service := &corev1.Service{}
		service.Name, service.Namespace = name.Name, name.Namespace
		if err := environment.Direct.Delete(t.Context(), service); err != nil {
			t.Fatalf("delete: %v", err)
		}
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		get(t, service)
	})
	t.Run("the owner reference is removed", func(t *testing.T) {
		service := &corev1.Service{}
		service.Name, service.Namespace = name.Name, name.Namespace
		get(t, service).OwnerReferences = nil
		update(t, service)
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if metav1.GetControllerOf(get(t, service)) == nil {
			t.Error("the owner reference is still gone")
		}
	})
	t.Run("what others add stays, and costs one request at most", func(t *testing.T) {
		deployment := &appsv1.Deployment{}
		deployment.Name, deployment.Namespace = name.Name, name.Namespace
		get(t, deployment).Annotations["deployment.kubernetes.io/revision"] = "1"
		update(t, deployment)
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if requests := environment.Requests.Take(); len(requests) > 1 {
			t.Errorf("requests: %q", requests)
		}
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests at rest: %q", requests)
		}
		if get(t, deployment).Annotations["deployment.kubernetes.io/revision"] != "1" {
			t.Error("the annotation of the deployment controller is gone")
		}
	})
	t.Run("a status is no drift", func(t *testing.T) {
		deployment := &appsv1.Deployment{}
		deployment.Name, deployment.Namespace = name.Name, name.Namespace
		get(t, deployment).Status.Replicas = 2
		if err := environment.Direct.Status().Update(t.Context(), deployment); err != nil {
			t.Fatalf("update the status: %v", err)
		}
		settle(t, children...)
		mustApply(t, applier, in.Server, children...)
		if requests := environment.Requests.Take(); len(requests) > 0 {
			t.Errorf("requests after a change of status: %q", requests)
		}
	})
}

func update(t *testing.T, object client.Object) {
	t.Helper()
	if err := environment.Direct.Update(t.Context(), object); err != nil {
		t.Fatalf("update %T %s: %v", object, object.GetName(), err)
	}
}

func TestApplyRemovesWhatIsNoLongerRendered(t *testing.T) {
	in := newServer(t, "fields", func(spec *policiesv1.PolicyServerSpec) {
		full(spec)
		spec.MinAvailable = &intstr.IntOrString{IntVal: 1}
	})
	applier := newApplier()
	mustApply(t, applier, in.Server, mustRender(t, in)...)

	in.Server.Spec = policiesv1.PolicyServerSpec{Env: []corev1.EnvVar{{Name: "ONE", Value: "1"}}}
	mustApply(t, applier, in.Server, mustRender(t, in)...)

	deployment := &appsv1.Deployment{}
	deployment.Name, deployment.Namespace = "policy-server-fields", applytest.Namespace
	get(t, deployment)
	container := deployment.Spec.Template.Spec.Containers[0]
	if slices.ContainsFunc(container.Env, func(variable corev1.EnvVar) bool { return variable.Name == "EMPTY" }) {
		t.Error("a variable that the spec has lost is still there")
	}
	if len(container.Resources.Limits) > 0 || len(deployment.Annotations) > 0 || deployment.Labels["example.com/tier"] != "" {
		t.Errorf("limits %v, annotations %v, labels %v: the spec has lost them", container.Resources.Limits, deployment.Annotations, deployment.Labels)
	}
	if got := len(deployment.Spec.Template.Spec.Volumes); got != 3 {
		t.Errorf("the Pods have %d volumes, want those of every policy server: certificates, the operator's authority, modules", got)
	}
	budget := &policyv1.PodDisruptionBudget{}
	budget.Name, budget.Namespace = "policy-server-fields", applytest.Namespace
	if get(t, budget); budget.Spec.MinAvailable != nil || budget.Spec.MaxUnavailable == nil {
		t.Errorf("minAvailable is %v and maxUnavailable %v, want none and 1", budget.Spec.MinAvailable, budget.Spec.MaxUnavailable)
	}
}

func TestApplyRefusesWhatIsNotOurs(t *testing.T) {
	in := newServer(t, "foreign", nothing)
	// The caches show no ConfigMap without our label, and this one must be seen all the same.
	foreign := &corev1.ConfigMap{Data: map[string]string{"mine": "yes"}}
	foreign.Name, foreign.Namespace = "policy-server-foreign", applytest.Namespace
	if err := environment.Direct.Create(t.Context(), foreign); err != nil {
		t.Fatalf("create: %v", err)
	}
	err := newApplier().Apply(t.Context(), in.Server, mustRender(t, in)...)
	var refused *apply.ForeignError
	if !errors.As(err, &refused) || refused.Object != "ConfigMap kubewarden/policy-server-foreign" {
		t.Fatalf("got error %v, want a ForeignError that names the ConfigMap", err)
	}
	live := get(t, foreign.DeepCopy())
	if live.ResourceVersion != foreign.ResourceVersion {
		t.Error("the foreign ConfigMap was written to")
	}
	service := &corev1.Service{}
	service.Name, service.Namespace = "policy-server-foreign", applytest.Namespace
	if !exists(t, service) {
		t.Error("the refusal of one object kept another from being written")
	}
}

func TestApplyRefusesTheChildOfAnotherOwner(t *testing.T) {
	first, second := newServer(t, "twin", nothing), newServer(t, "sibling", nothing)
	applier := newApplier()
	children := mustRender(t, first)
	mustApply(t, applier, first.Server, children...)
	report := &corev1.ConfigMap{}
	report.Name, report.Namespace = contract.ReportConfigMapName("twin"), applytest.Namespace
	before := get(t, report).DeepCopy()

	err := applier.Apply(t.Context(), second.Server, children...)
	var refused *apply.ForeignError
	if !errors.As(err, &refused) || refused.Controller != "PolicyServer twin" {
		t.Fatalf("got error %v, want a ForeignError that names PolicyServer twin", err)
	}
	if after := get(t, report); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the child of twin was written to: %v, before %v", after.OwnerReferences, before.OwnerReferences)
	}
}

func TestApplyTakesOverWhatUpstreamMadeForTheSameOwner(t *testing.T) {
	in := newServer(t, "upstream", nothing)
	service := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "policy-server", Port: 443}}}}
	service.Name, service.Namespace = "policy-server-upstream", applytest.Namespace
	service.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: policiesv1.GroupVersion.String(), Kind: "PolicyServer", Name: in.Server.Name, UID: in.Server.UID,
	}}
	if err := environment.Direct.Create(t.Context(), service); err != nil {
		t.Fatalf("create: %v", err)
	}
	mustApply(t, newApplier(), in.Server, mustRender(t, in)...)
	if got := get(t, service); !render.IsOurs(got.Labels) || metav1.GetControllerOf(got) == nil || len(got.OwnerReferences) != 1 {
		t.Errorf("labels %v, owners %v: not taken over", got.Labels, got.OwnerReferences)
	}
}

// staleClient shows an object that has been deleted and made again since.
type staleClient struct {
	client.Client
	stale *corev1.Service
}

func (c staleClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if service, ok := object.(*corev1.Service); ok {
		c.stale.DeepCopyInto(service)
		return nil
	}
	return c.Client.Get(ctx, key, object, options...)
}

func TestApplyNeverWritesToASuccessorUnseen(t *testing.T) {
	in := newServer(t, "successor", nothing)
	wanted := render.Service(in)
	mustApply(t, newApplier(), in.Server, wanted)
	service := get(t, wanted.DeepCopy())
	stale := service.DeepCopy()
	if err := environment.Direct.Delete(t.Context(), service); err != nil {
		t.Fatalf("delete: %v", err)
	}
	applier := apply.NewApplier(apply.Config{Client: staleClient{Client: environment.Cached, stale: stale}, Uncached: environment.Uncached})
	if err := applier.Apply(t.Context(), in.Server, wanted); !apierrors.IsConflict(err) {
		t.Errorf("after the deletion: got error %v, want a conflict", err)
	}
	successor := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	successor.Name, successor.Namespace = service.Name, service.Namespace
	if err := environment.Direct.Create(t.Context(), successor); err != nil {
		t.Fatalf("create the successor: %v", err)
	}
	if err := applier.Apply(t.Context(), in.Server, wanted); err == nil {
		t.Error("the successor was written to, though it was never looked at")
	}
	if got := get(t, successor); render.IsOurs(got.Labels) {
		t.Error("the successor bears our label")
	}
}

func TestReportsOfReplicasAreNeitherTouchedNorDrift(t *testing.T) {
	in := newServer(t, "reports", nothing)
	applier := newApplier()
	report := render.ReportConfigMap(in)
	mustApply(t, applier, in.Server, report)
	live := get(t, report.DeepCopy())
	live.Data = map[string]string{"pod-a": "{}", "pod-b": "{}"}
	live.BinaryData = map[string][]byte{"pod-c": {1}}
	update(t, live)
	settle(t, report)
	mustApply(t, applier, in.Server, report)
	if requests := environment.Requests.Take(); len(requests) > 0 {
		t.Errorf("a report caused the requests %q", requests)
	}
	mustApply(t, newApplier(), in.Server, report)
	if got := get(t, live); len(got.Data) != 2 || len(got.BinaryData) != 1 {
		t.Errorf("data %v and binaryData %v, want those of the replicas", got.Data, got.BinaryData)
	}

	key := client.ObjectKeyFromObject(report)
	if err := applier.RemoveDataKeys(t.Context(), key, "pod-a", "pod-c", "pod-d"); err != nil {
		t.Fatalf("remove keys: %v", err)
	}
	if got := get(t, live); len(got.Data) != 1 || got.Data["pod-b"] == "" || len(got.BinaryData) != 0 {
		t.Errorf("data %v and binaryData %v, want pod-b alone", got.Data, got.BinaryData)
	}
	key.Name = "absent"
	if err := applier.RemoveDataKeys(t.Context(), key, "pod-a"); err != nil {
		t.Errorf("remove keys of an absent ConfigMap: %v", err)
	}
}
