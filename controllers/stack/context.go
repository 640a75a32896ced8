package stack

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Rights on the one binding of the context watcher, and to bind its role: to grant it needs
// no right to read what it lets policies read. To list bindings is among the rights of the
// audit scanner.
//
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames=kubewarden-context-watcher,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=kubewarden-context-watcher,verbs=bind

// observeAccounts reads the accounts that were made for policy servers.
func (r *Reconciler) observeAccounts(ctx context.Context, s *state) error {
	var accounts corev1.ServiceAccountList
	err := r.Client.List(ctx, &accounts, client.InNamespace(r.Render.Namespace), client.HasLabels{render.LabelPolicyServer})
	if err != nil {
		return fmt.Errorf("list ServiceAccounts: %w", err)
	}
	s.accounts = accounts.Items
	return nil
}

// syncContext lets the accounts of those policy servers read the cluster of which a policy
// does, and no others. One binding serves all, so this reconciler, which sees them all, is
// the only one to write it.
func (r *Reconciler) syncContext(ctx context.Context, s *state) error {
	binding := render.ContextWatcher(render.ContextWatcherInput{
		Config:       r.Render,
		Installation: render.NewInstallation(s.kubewarden),
		Servers:      s.servers,
		Policies:     s.policies,
		Accounts:     s.accounts,
	})
	if binding == nil {
		return r.withdrawContext(ctx, s)
	}
	return r.Applier.Apply(ctx, s.kubewarden, binding)
}

// withdrawContext removes the binding.
func (r *Reconciler) withdrawContext(ctx context.Context, s *state) error {
	return r.Applier.Delete(ctx, s.kubewarden, render.NoContextWatcher())
}
