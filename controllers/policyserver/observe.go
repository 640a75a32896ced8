package policyserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// state is what one reconcile has seen and done.
type state struct {
	// server is changed in its status only; original is as it was read.
	server, original *policiesv1.PolicyServer

	kubewarden *operatorv1alpha1.Kubewarden // nil when there is none
	// candidates are the bound policies that ask for room; policies are the entries that
	// got it, and refused those that did not.
	candidates []render.Candidate
	policies   contract.Policies
	refused    map[string]render.RefusedEntry
	lastGood   map[string]contract.LastGood
	rollout    rollout
	unrendered int32 // bound policies that no entry can be made of
	configured configured.Configuration
	pods       []corev1.Pod
	deployment *appsv1.Deployment // nil when there is none
	reports    map[string]contract.Report
	reporting  []string // every key of the report ConfigMap
	replicas   replicas.Set
	// webhooks are the IDs of policies whose webhooks call the server; known only while
	// the server or the installation is being deleted.
	webhooks []string
	// classMissing says that there is no priority class of the name that Pods have by default,
	// and withoutPriority why it could not be made; empty unless that was tried.
	classMissing    bool
	withoutPriority string
	// unresolved says, one by one, what the spec refers to and is not there as it must be.
	unresolved []string

	// observed says that everything above is known.
	observed bool
	// applied says that an attempt was made to write the children, and failed holds what
	// came of it, by the condition that tells of it.
	applied     bool
	failed      map[string]error
	certificate certs.Progress
}

func newState(server *policiesv1.PolicyServer) *state {
	return &state{server: server, original: server.DeepCopy(), failed: map[string]error{}}
}

// input is what the children are rendered from.
func (s *state) input(config render.Config) render.PolicyServerInput {
	return render.PolicyServerInput{
		Config:       config,
		Installation: render.NewInstallation(s.kubewarden),
		Server:       s.server,
		Scaled:       s.scaled(),
		Policies:     s.policies,
		Refused:      s.refused,
		LastGood:     s.lastGood,

		Former:             s.rollout.former,
		ServingCertificate: s.rollout.certificate,
	}
}

// result asks to be called again when a certificate has to wait for time alone, or for what
// nothing tells of.
func (s *state) result() ctrl.Result {
	after := s.certificate.After
	if len(s.unresolved) > 0 && (after == 0 || after > referencesDelay) {
		after = referencesDelay
	}
	if s.withoutPriority != "" && (after == 0 || after > priorityDelay) {
		after = priorityDelay
	}
	return ctrl.Result{RequeueAfter: after}
}

// observe reads everything that the children and the status depend on.
func (r *Reconciler) observe(ctx context.Context, s *state) error {
	var err error
	if s.kubewarden, err = resource.Find(ctx, r.Client, operatorv1alpha1.KubewardenName, &operatorv1alpha1.Kubewarden{}); err != nil {
		return err
	}
	if err := r.observePolicies(ctx, s); err != nil {
		return err
	}
	if err := r.observeReplicas(ctx, s); err != nil {
		return err
	}
	if err := r.observeConfigured(ctx, s); err != nil {
		return err
	}
	if err := r.observePriority(ctx, s); err != nil {
		return err
	}
	if err := r.observeRollout(ctx, s); err != nil {
		return err
	}
	if err := s.pin(); err != nil {
		return err
	}
	if err := s.fit(); err != nil {
		return err
	}
	if err := s.keepLastGood(); err != nil {
		return err
	}
	leaving := !s.server.DeletionTimestamp.IsZero() || s.kubewarden != nil && !s.kubewarden.DeletionTimestamp.IsZero()
	if leaving {
		if s.webhooks, err = r.webhooksOf(ctx, s.server.Name); err != nil {
			return err
		}
	} else if err := r.observeReferences(ctx, s); err != nil {
		return err
	}
	s.observed = true
	return nil
}

// observePolicies makes the entries of all bound policies. Those that are being deleted
// are among them: their webhooks are called until they are gone. One that no entry can be
// made of is left out and fails alone; its own condition says why.
func (r *Reconciler) observePolicies(ctx context.Context, s *state) error {
	bound, err := index.Policies(ctx, r.Client, index.BoundTo(s.server.Name))
	if err != nil {
		return err
	}
	s.policies = contract.Policies{}
	for _, policy := range bound {
		id, entry, err := render.Entry(policy, s.server)
		if err != nil {
			s.unrendered++
			ctrl.LoggerFrom(ctx).V(1).Info("A policy is left out", "reason", err.Error())
			continue
		}
		s.policies[id] = entry
		s.candidates = append(s.candidates, render.Candidate{
			ID: id, Namespace: policy.GetNamespace(), Created: policy.GetCreationTimestamp().Time,
		})
	}
	return nil
}

func (r *Reconciler) observeReplicas(ctx context.Context, s *state) error {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods,
		client.InNamespace(r.Render.Namespace), client.MatchingLabels(render.PolicyServerLabels(s.server.Name)))
	if err != nil {
		return fmt.Errorf("list Pods: %w", err)
	}
	s.pods = pods.Items
	reports := &corev1.ConfigMap{}
	if err := r.Client.Get(ctx, r.key(contract.ReportConfigMapName(s.server.Name)), reports); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get ConfigMap %s: %w", contract.ReportConfigMapName(s.server.Name), err)
	}
	for key := range reports.Data {
		s.reporting = append(s.reporting, key)
	}
	for key := range reports.BinaryData {
		s.reporting = append(s.reporting, key)
	}
	slices.Sort(s.reporting)
	var unreadable map[string]error
	s.reports, unreadable = r.Reports.Decode(reports)
	for replica, err := range unreadable {
		ctrl.LoggerFrom(ctx).Info("A replica's report cannot be read", "replica", replica, "reason", err.Error())
	}
	s.replicas = replicas.NewSet(s.pods, s.reports)

	deployment := &appsv1.Deployment{}
	err = r.Client.Get(ctx, r.key(render.DeploymentName(s.server.Name)), deployment)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get Deployment %s: %w", render.DeploymentName(s.server.Name), err)
	}
	if err == nil {
		s.deployment = deployment
	}
	return nil
}

func (r *Reconciler) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: r.Render.Namespace, Name: name}
}

// webhooksOf returns the IDs of the policies whose webhooks call a server, sorted. It asks
// the API server: a cache that is a moment late would let the server go before them.
func (r *Reconciler) webhooksOf(ctx context.Context, server string) ([]string, error) {
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if err := r.Uncached.List(ctx, &validating, client.HasLabels{render.LabelInstallation}); err != nil {
		return nil, fmt.Errorf("list ValidatingWebhookConfigurations: %w", err)
	}
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if err := r.Uncached.List(ctx, &mutating, client.HasLabels{render.LabelInstallation}); err != nil {
		return nil, fmt.Errorf("list MutatingWebhookConfigurations: %w", err)
	}
	var ids []string
	for i := range validating.Items {
		if called := r.serverCalledBy(&validating.Items[i]); called == server {
			ids = append(ids, validating.Items[i].Name)
		}
	}
	for i := range mutating.Items {
		if called := r.serverCalledBy(&mutating.Items[i]); called == server {
			ids = append(ids, mutating.Items[i].Name)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// serverCalledBy is the PolicyServer that a webhook configuration calls; empty when it
// calls none.
func (r *Reconciler) serverCalledBy(webhook client.Object) string {
	var services []*admissionregistrationv1.ServiceReference
	switch webhook := webhook.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		for i := range webhook.Webhooks {
			services = append(services, webhook.Webhooks[i].ClientConfig.Service)
		}
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		for i := range webhook.Webhooks {
			services = append(services, webhook.Webhooks[i].ClientConfig.Service)
		}
	}
	for _, service := range services {
		if service == nil || service.Namespace != r.Render.Namespace {
			continue
		}
		if server, ok := strings.CutPrefix(service.Name, render.ServiceName("")); ok {
			return server
		}
	}
	return ""
}
