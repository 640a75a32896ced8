package certs

import (
	"context"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Reconciler keeps the authority of the installation, and the condition CertificatesReady
// of the Kubewarden. It patches no other condition, and with the resource version it read,
// so that whoever writes the others has to do the same.
type Reconciler struct {
	client       client.Client
	certificates *Certificates
	namespace    string
	watch        *LateWatch
}

// NewReconciler returns the reconciler of the authority.
func NewReconciler(certificates *Certificates) *Reconciler {
	return &Reconciler{
		client:       certificates.client,
		certificates: certificates,
		namespace:    certificates.render.Namespace,
	}
}

// SetupWithManager makes the manager call Reconcile for the Kubewarden, and whenever the
// Secrets or cert-manager's objects of the authority change.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager) error {
	controller, err := ctrl.NewControllerManagedBy(manager).
		Named("certificates").
		For(&operatorv1alpha1.Kubewarden{}).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.kubewardenForSecret)).
		Build(r)
	if err != nil {
		return fmt.Errorf("set up the controller of certificates: %w", err)
	}
	r.watch = NewLateWatch(LateWatchConfig{
		Manager:    manager,
		Controller: controller,
		Handler: func() handler.EventHandler {
			return handler.EnqueueRequestForOwner(manager.GetScheme(), manager.GetRESTMapper(),
				&operatorv1alpha1.Kubewarden{}, handler.OnlyControllerOwner())
		},
		Objects: []client.Object{&certmanagerv1.Issuer{}, &certmanagerv1.Certificate{}},
	})
	return nil
}

// kubewardenForSecret wakes the reconciler for the two Secrets of the authority.
func (r *Reconciler) kubewardenForSecret(_ context.Context, secret client.Object) []reconcile.Request {
	if secret.GetNamespace() != r.namespace {
		return nil
	}
	switch secret.GetName() {
	case render.CertificateCA, render.SecretCA:
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: operatorv1alpha1.KubewardenName}}}
	default:
		return nil
	}
}

// Reconcile takes the next step with the authority and writes the condition.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	if err := r.client.Get(ctx, request.NamespacedName, kubewarden); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	// What the Kubewarden owns goes with it.
	if !kubewarden.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	if r.watch != nil {
		if err := r.watch.Start(); err != nil {
			return ctrl.Result{}, err
		}
	}
	progress, err := r.certificates.SyncAuthority(ctx, kubewarden)
	if err != nil {
		progress = Progress{Reason: operatorv1alpha1.ReasonReconciliationFailed, Message: err.Error()}
	}
	if patchErr := r.writeStatus(ctx, kubewarden, progress); patchErr != nil {
		return ctrl.Result{}, patchErr
	}
	return ctrl.Result{RequeueAfter: progress.After}, err
}

// writeStatus patches the condition, and the provider, which is decided once. Where
// somebody else wrote the status meanwhile, the watch brings the reconciler back.
func (r *Reconciler) writeStatus(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden, progress Progress) error {
	before := kubewarden.DeepCopy()
	setCertificatesReady(kubewarden, progress)
	if progress.Reason == operatorv1alpha1.ReasonIssued {
		kubewarden.Status.CertificateProvider = operatorv1alpha1.CertificateProviderCertManager
	}
	if equality.Semantic.DeepEqual(before.Status, kubewarden.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := client.IgnoreNotFound(r.client.Status().Patch(ctx, kubewarden, patch))
	if apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch the status of Kubewarden %s: %w", kubewarden.Name, err)
	}
	return nil
}

func setCertificatesReady(kubewarden *operatorv1alpha1.Kubewarden, progress Progress) {
	condition := metav1.Condition{
		Type:               operatorv1alpha1.ConditionCertificatesReady,
		Status:             metav1.ConditionFalse,
		Reason:             progress.Reason,
		Message:            progress.Message,
		ObservedGeneration: kubewarden.Generation,
	}
	if progress.Ready {
		condition.Status = metav1.ConditionTrue
	}
	if condition.Message == "" {
		condition.Message = "the certificate authority is issued and published"
	}
	apimeta.SetStatusCondition(&kubewarden.Status.Conditions, condition)
}
