//go:build integration

package model

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// operation is one step of a history: what is done, to what, and how.
type operation struct {
	verb          string
	target, value int
}

func (o operation) String() string { return fmt.Sprintf("%s/%d/%d", o.verb, o.target, o.value) }

func parseOperation(text string) (operation, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return operation{}, fmt.Errorf("operation %q: want verb/target/value", text)
	}
	if _, known := verbs[parts[0]]; !known {
		return operation{}, fmt.Errorf("operation %q: the verb is none of %v", text, slices.Sorted(maps.Keys(verbs)))
	}
	target, err := strconv.Atoi(parts[1])
	if err != nil {
		return operation{}, fmt.Errorf("operation %q: target: %w", text, err)
	}
	value, err := strconv.Atoi(parts[2])
	if err != nil {
		return operation{}, fmt.Errorf("operation %q: value: %w", text, err)
	}
	return operation{parts[0], target, value}, nil
}

// verb is a kind of operation.
type verb struct {
	// weight is how often it is chosen, compared with others.
	weight int
	do     func(ctx context.Context, w *world, o operation) error
}

// pause is the verb after which everything is checked.
const pause = "pause"

// verbs is filled where the operations are, below.
var verbs map[string]verb

func init() { //nolint:gochecknoinits // the table refers to what refers to it
	verbs = map[string]verb{
		pause: {12, func(context.Context, *world, operation) error { return nil }},

		"create-server":  {6, createServer},
		"delete-server":  {2, deleteServer},
		"scale-server":   {5, scaleServer},
		"roll-server":    {2, rollServer},
		"create-policy":  {14, createPolicy},
		"delete-policy":  {6, deletePolicy},
		"settings":       {10, editShape(setSettings)},
		"module":         {6, editShape(setModule)},
		"mutating":       {5, editShape(flipMutating)},
		"mode":           {3, editPolicy(setMode)},
		"rules":          {5, editPolicy(setRules)},
		"failure-policy": {3, editPolicy(setFailurePolicy)},
		"refresh":        {2, editPolicy(setRefresh)},
		"drop-finalizer": {2, editPolicy(dropFinalizers)},

		"damage-webhook": {4, damageWebhook},
		"delete-webhook": {3, deleteWebhook},
		"damage-child":   {5, damageChild},
		"delete-child":   {6, deleteChild},

		"cut":         {4, onReplica(func(w *world, pod string, o operation) { w.workloads.Cut(pod, o.value%2 == 0) })},
		"restart":     {4, onReplica(func(w *world, pod string, _ operation) { w.workloads.Restart(pod) })},
		"delete-pod":  {4, deletePod},
		"modules":     {4, func(_ context.Context, w *world, o operation) error { w.workloads.Away(o.value%3 == 0); return nil }},
		"kill":        {4, killOperator},
		"stop":        {2, stopOperator},
		"start":       {5, func(_ context.Context, w *world, _ operation) error { return w.startOperator() }},
		"enforcement": {3, setEnforcement},
		"uninstall":   {1, uninstall},
		"install":     {3, install},
		"wait": {6, func(ctx context.Context, _ *world, o operation) error {
			return wait(ctx, time.Duration(o.value)*50*time.Millisecond)
		}},
	}
}

func serverOf(o operation) *policiesv1.PolicyServer {
	server := &policiesv1.PolicyServer{}
	server.Name = servers[o.target%len(servers)]
	return server
}

func createServer(ctx context.Context, w *world, o operation) error {
	server := serverOf(o)
	server.Spec.Replicas = new(int32(1 + o.value%2))
	return tolerate(w.admin().Create(ctx, server))
}

func deleteServer(ctx context.Context, w *world, o operation) error {
	w.witness.excuse(callersOf(serverOf(o).Name))
	return tolerate(w.admin().Delete(ctx, serverOf(o)))
}

func scaleServer(ctx context.Context, w *world, o operation) error {
	if o.value%4 == 0 {
		w.witness.excuse(callersOf(serverOf(o).Name))
	}
	return change(ctx, w, serverOf(o), func(s *policiesv1.PolicyServer) { s.Spec.Replicas = new(int32(o.value % 4)) })
}

func rollServer(ctx context.Context, w *world, o operation) error {
	return change(ctx, w, serverOf(o), func(s *policiesv1.PolicyServer) {
		s.Spec.Annotations = map[string]string{"roll": strconv.Itoa(o.value)}
	})
}

func createPolicy(ctx context.Context, w *world, o operation) error {
	policy := newPolicy(o.target % policies)
	spec := policy.GetAdmissionSpec()
	spec.PolicyServer = servers[o.value%len(servers)]
	spec.Mode = policiesv1.PolicyModeProtect
	if o.value%2 == 0 {
		spec.Mode = policiesv1.PolicyModeMonitor
	}
	spec.Rules = rules(o.value)
	edit(policy, func(s shape) {
		*s.module = "registry://example.test/labels:v1"
		*s.settings = runtime.RawExtension{Raw: []byte(`{"label":"a"}`)}
	})
	return tolerate(w.admin().Create(ctx, policy))
}

func deletePolicy(ctx context.Context, w *world, o operation) error {
	policy := newPolicy(o.target % policies)
	w.witness.excuse(named(webhookName(policy)))
	return tolerate(w.admin().Delete(ctx, policy))
}

func editPolicy(set func(w *world, policy policiesv1.Policy, value int)) func(context.Context, *world, operation) error {
	return func(ctx context.Context, w *world, o operation) error {
		return change(ctx, w, newPolicy(o.target%policies), func(policy policiesv1.Policy) { set(w, policy, o.value) })
	}
}

func editShape(set func(s shape, value int)) func(context.Context, *world, operation) error {
	return editPolicy(func(_ *world, policy policiesv1.Policy, value int) {
		edit(policy, func(s shape) { set(s, value) })
	})
}

func setSettings(s shape, value int) {
	label := []string{"a", "b", "c", simulator.BrokenSettings}[value%4]
	*s.settings = runtime.RawExtension{Raw: []byte(fmt.Sprintf(`{"label":%q}`, label))}
}

func setModule(s shape, value int) {
	name := []string{"labels:v1", "labels:v2", simulator.BadModule + ":v1", simulator.MissingModule + ":v1"}[value%4]
	*s.module = "registry://example.test/" + name
}

func flipMutating(s shape, _ int) {
	if s.mutating != nil {
		*s.mutating = !*s.mutating
	}
}

func setMode(_ *world, policy policiesv1.Policy, _ int) {
	policy.GetAdmissionSpec().Mode = policiesv1.PolicyModeProtect // there is no way back
}

func setRules(_ *world, policy policiesv1.Policy, value int) {
	policy.GetAdmissionSpec().Rules = rules(value)
}

func setFailurePolicy(_ *world, policy policiesv1.Policy, value int) {
	failure := admissionregistrationv1.Fail
	if value%2 == 0 {
		failure = admissionregistrationv1.Ignore
	}
	policy.GetAdmissionSpec().FailurePolicy = &failure
}

func setRefresh(_ *world, policy policiesv1.Policy, value int) {
	policy.SetAnnotations(map[string]string{policiesv1.AnnotationRefresh: strconv.Itoa(value)})
}

func dropFinalizers(w *world, policy policiesv1.Policy, _ int) {
	if policy.GetDeletionTimestamp() != nil {
		w.witness.excuse(named(webhookName(policy)))
	}
	policy.SetFinalizers(nil)
}

// onReplica does something to one of a server's replicas.
func onReplica(do func(w *world, pod string, o operation)) func(context.Context, *world, operation) error {
	return func(_ context.Context, w *world, o operation) error {
		replicas := w.workloads.Replicas(serverOf(o).Name)
		if len(replicas) > 0 {
			do(w, replicas[o.value/2%len(replicas)].Pod, o)
		}
		return nil
	}
}

func deletePod(ctx context.Context, w *world, o operation) error {
	replicas := w.workloads.Replicas(serverOf(o).Name)
	if len(replicas) == 0 {
		return nil
	}
	return tolerate(w.admin().Delete(ctx, podNamed(replicas[o.value%len(replicas)].Pod)))
}

func (w *world) startOperator() error {
	if w.cluster.Runs() {
		return nil
	}
	return w.cluster.StartOperator()
}

func killOperator(_ context.Context, w *world, _ operation) error {
	if w.cluster.Runs() {
		w.cluster.KillOperator()
	}
	return nil
}

func stopOperator(_ context.Context, w *world, _ operation) error {
	if !w.cluster.Runs() {
		return nil
	}
	return w.cluster.StopOperator()
}

func theKubewarden() *operatorv1alpha1.Kubewarden {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	kubewarden.Name = operatorv1alpha1.KubewardenName
	return kubewarden
}

func setEnforcement(ctx context.Context, w *world, o operation) error {
	enforcement := operatorv1alpha1.EnforcementEnabled
	if o.value%3 == 0 {
		enforcement = operatorv1alpha1.EnforcementSuspended
		w.witness.excuse(everything)
	}
	return change(ctx, w, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { k.Spec.Enforcement = enforcement })
}

func uninstall(ctx context.Context, w *world, _ operation) error {
	w.witness.excuse(everything)
	return tolerate(w.admin().Delete(ctx, theKubewarden()))
}

func install(ctx context.Context, w *world, _ operation) error {
	return tolerate(w.admin().Create(ctx, theKubewarden()))
}

func deleteWebhook(ctx context.Context, w *world, o operation) error {
	policy := newPolicy(o.target % policies)
	w.witness.excuse(named(webhookName(policy)))
	for _, webhook := range webhooksNamed(webhookName(policy)) {
		if err := tolerate(w.admin().Delete(ctx, webhook)); err != nil {
			return err
		}
	}
	return nil
}

func webhooksNamed(name string) []client.Object {
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	validating.Name, mutating.Name = name, name
	return []client.Object{validating, mutating}
}
