package policyserver

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// observeConfigured reads what was written for the replicas before. A file that somebody
// broke counts as none.
func (r *Reconciler) observeConfigured(ctx context.Context, s *state) error {
	key := r.key(contract.ConfigMapName(s.server.Name))
	var configMap corev1.ConfigMap
	if err := r.Client.Get(ctx, key, &configMap); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get ConfigMap %s: %w", key, err)
	}
	var err error
	if s.configured, err = r.Configured.Decode(&configMap); err != nil {
		ctrl.LoggerFrom(ctx).Info("What was written for the replicas cannot be read and is written again", "reason", err.Error())
	}
	return nil
}

// pin has the entries pin their modules: by what was pinned before, else by what a replica
// has resolved.
func (s *state) pin() error {
	if s.rollout.wanted {
		return nil // nobody tells what a tag stands for
	}
	for id, entry := range s.policies {
		entry = render.CarryPins(entry, s.configured.Policies[id])
		if render.Unpinned(entry) {
			digests, err := s.replicas.Digests(id, entry)
			if err != nil {
				return err
			}
			entry = render.Pin(entry, digests)
		}
		s.policies[id] = entry
	}
	return nil
}
