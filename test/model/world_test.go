//go:build integration

package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// tenant is the namespace of namespaced policies.
const tenant = "tenant"

// servers are the PolicyServers of a world; the last comes with the installation.
var servers = []string{"red", "blue", "default"}

// policies is how many policies a world can have; which kind each has is fixed.
const policies = 6

// world is a cluster in which a history takes place.
type world struct {
	cluster   *simulator.Cluster
	workloads *simulator.Workloads
	witness   *witness
	listed    []client.ObjectList // of every kind that is compared at rest
}

func newWorld(ctx context.Context) (_ *world, err error) {
	cluster, err := simulator.NewCluster("../..")
	if err != nil {
		return nil, err
	}
	cluster.Alone = true
	w := &world{cluster: cluster, workloads: simulator.NewWorkloads(cluster)}
	w.workloads.Start()
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	namespace := &corev1.Namespace{}
	namespace.Name = tenant
	if err := cluster.Admin.Create(ctx, namespace); err != nil {
		return nil, fmt.Errorf("create the tenant's namespace: %w", err)
	}
	if w.witness, err = newWitness(ctx, w); err != nil {
		return nil, err
	}
	return w, errors.Join(cluster.CreateKubewarden(), cluster.StartOperator())
}

func (w *world) close() error {
	var failures error
	if w.witness != nil {
		failures = w.witness.stop()
	}
	return errors.Join(failures, w.workloads.Stop(), w.cluster.Stop())
}

func (w *world) admin() client.Client { return w.cluster.Admin }

// newPolicy is the policy in a place, without a spec.
func newPolicy(place int) policiesv1.Policy {
	var policy policiesv1.Policy
	switch place {
	case 2:
		policy = &policiesv1.ClusterAdmissionPolicyGroup{}
	case 3:
		policy = &policiesv1.AdmissionPolicy{}
	case 4:
		policy = &policiesv1.AdmissionPolicyGroup{}
	default:
		policy = &policiesv1.ClusterAdmissionPolicy{}
	}
	policy.SetName(fmt.Sprintf("p%d", place))
	if place == 3 || place == 4 {
		policy.SetNamespace(tenant)
	}
	return policy
}

// webhookName is upstream's name of the webhook configuration of a policy, and its ID.
func webhookName(policy policiesv1.Policy) string {
	switch policy.(type) {
	case *policiesv1.ClusterAdmissionPolicyGroup:
		return "kw.capg." + policy.GetName()
	case *policiesv1.AdmissionPolicy:
		return "kw.ap." + policy.GetNamespace() + "." + policy.GetName()
	case *policiesv1.AdmissionPolicyGroup:
		return "kw.apg." + policy.GetNamespace() + "." + policy.GetName()
	default:
		return "kw.cap." + policy.GetName()
	}
}

// shape is what the kinds of policies have in common in all but form: one module with
// settings. A group has it as its only member.
type shape struct {
	module   *string
	settings *runtime.RawExtension
	mutating *bool // nil where the kind has none
}

// memberName is the name of a group's only member.
const memberName = "member"

// edit changes module, settings and mutating of a policy of any kind.
func edit(policy policiesv1.Policy, change func(shape)) {
	switch policy := policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		change(shape{&policy.Spec.Module, &policy.Spec.Settings, &policy.Spec.Mutating})
	case *policiesv1.AdmissionPolicy:
		change(shape{&policy.Spec.Module, &policy.Spec.Settings, &policy.Spec.Mutating})
	case *policiesv1.ClusterAdmissionPolicyGroup:
		member := policy.Spec.Policies[memberName]
		change(shape{module: &member.Module, settings: &member.Settings})
		policy.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{memberName: member}
		policy.Spec.Expression, policy.Spec.Message = memberName+"()", "not allowed"
	case *policiesv1.AdmissionPolicyGroup:
		member := policy.Spec.Policies[memberName]
		change(shape{module: &member.Module, settings: &member.Settings})
		policy.Spec.Policies = map[string]policiesv1.GroupMember{memberName: member}
		policy.Spec.Expression, policy.Spec.Message = memberName+"()", "not allowed"
	}
}

// rules are a few rules that a policy can have.
func rules(value int) []policiesv1.Rule {
	operations := []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	resources := []string{"pods"}
	switch value % 4 {
	case 1:
		operations = append(operations, admissionregistrationv1.Update)
	case 2:
		resources = append(resources, "services")
	case 3:
		operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Update}
	}
	return []policiesv1.Rule{{
		Operations: operations, APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: resources,
	}}
}

// get says whether an object exists, and reads it.
func (w *world) get(ctx context.Context, object client.Object) (bool, error) {
	err := w.admin().Get(ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// change changes an object that exists; what the API server refuses stays as it is.
func change[T client.Object](ctx context.Context, w *world, object T, edit func(T)) error {
	for {
		exists, err := w.get(ctx, object)
		if err != nil || !exists {
			return err
		}
		edit(object)
		err = w.admin().Update(ctx, object)
		if !apierrors.IsConflict(err) {
			return tolerate(err)
		}
	}
}

// tolerate drops the errors of what cannot be done just now, or ever: a user would shrug.
func tolerate(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// wait waits, or until the end.
func wait(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
