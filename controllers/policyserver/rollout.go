package policyserver

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// rollout is what is known of a server whose replicas follow upstream's contract: each change
// of what they read at start replaces them.
type rollout struct {
	// wanted says that the server is one of those; else nothing below is known.
	wanted bool
	former render.FormerRollout
	// certificate is the fingerprint of what a Pod that starts now presents.
	certificate string
}

// observeRollout reads what a roll-out starts from. The ConfigMap is asked of the API server:
// by a cache that is late, a change and its return would look like none.
func (r *Reconciler) observeRollout(ctx context.Context, s *state) error {
	if render.ServerContract(s.server, r.Render.Image) != render.ContractRollout {
		return nil
	}
	s.rollout.wanted = true
	key := r.key(contract.ConfigMapName(s.server.Name))
	var configMap corev1.ConfigMap
	if err := r.Uncached.Get(ctx, key, &configMap); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get ConfigMap %s: %w", key, err)
	}
	s.rollout.former.Data = configMap.Data
	if s.deployment != nil {
		s.rollout.former.Version = render.FormerVersion(s.deployment)
	}
	mounted, err := r.Certificates.Mounted(ctx, s.server.Name)
	if err != nil {
		return err
	}
	s.rollout.certificate = s.certificateOr(mounted)
	return nil
}

// unknownCertificate keeps a Deployment of which nobody knows what it presents.
const unknownCertificate = "unknown"

// certificateOr is the fingerprint of the mounted certificate. While there is none, a
// Deployment that exists stays as it is: its Pods have what they read, and another would do
// no better.
func (s *state) certificateOr(mounted string) string {
	if mounted != "" || s.deployment == nil {
		return mounted
	}
	before, silent, err := render.StartedWith(s.deployment.Spec.Template.Annotations)
	if !silent || err != nil || before.ServingCertificate == "" {
		return unknownCertificate
	}
	return before.ServingCertificate
}

// checkRollout tells of replicas that were started with something else than what is wanted
// now. Those that are ready go on to answer.
func (s *state) checkRollout() *verdict {
	if !s.rollout.wanted {
		return nil
	}
	started, behind := s.startedWithWanted()
	if behind == 0 {
		return nil
	}
	message := fmt.Sprintf("%s; %d of %d replicas were started with the configuration as it is now", s.replicaCount(), started, started+behind)
	if trouble := s.trouble(); trouble != "" {
		message += "; " + trouble
	}
	if s.stalled() {
		return notReady(policiesv1.ReasonReplicasFailing, message)
	}
	return notReady(policiesv1.ReasonWaitingForReplicas, message)
}

// startedWithWanted counts the replicas that are ready and were started with the policies and
// the certificate that are wanted now, and those that were started with others.
func (s *state) startedWithWanted() (started, behind int32) {
	revision, err := contract.ConfigRevision(s.policies)
	if err != nil {
		return 0, 0
	}
	for _, replica := range s.replicas {
		report := replica.Report
		current := replica.Silent && report != nil &&
			report.ConfigRevision == revision && report.ServingCertificate == s.rollout.certificate
		switch {
		case replica.Terminating:
		case current && replica.Ready:
			started++
		case !current:
			behind++
		}
	}
	return started, behind
}
