//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// operatorNamespace is where config/default installs the operator.
const operatorNamespace = "kubewarden"

// cluster is the cluster under test.
var cluster client.Client

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := connect(); err != nil {
		return 1, err
	}
	made, err := installation(ctx)
	if err != nil {
		return 1, err
	}
	code = m.Run()
	if made {
		err = uninstall(context.Background())
	}
	return code, err
}

func connect() error {
	ctrl.SetLogger(logr.Discard())
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, operatorv1alpha1.AddToScheme, policiesv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	cluster, err = client.New(config, client.Options{Scheme: scheme})
	return err
}

// installation makes a Kubewarden when there is none, and waits until it and its default
// policy server are ready.
func installation(ctx context.Context) (made bool, err error) {
	authorities, err := sourceAuthorities()
	if err != nil {
		return false, err
	}
	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: operatorv1alpha1.KubewardenName}}
	kubewarden.Spec.DefaultPolicyServer.Spec.SourceAuthorities = authorities
	err = cluster.Create(ctx, kubewarden)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return false, fmt.Errorf("create Kubewarden: %w", err)
	}
	made = err == nil
	if err := waitReady(ctx, kubewarden, func() []metav1.Condition { return kubewarden.Status.Conditions }); err != nil {
		return made, err
	}
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: policiesv1.DefaultPolicyServer}}
	return made, waitReady(ctx, server, func() []metav1.Condition { return server.Status.Conditions })
}

// sourceAuthorities trusts the certificate of the registry that `cluster env` names.
func sourceAuthorities() (map[string][]string, error) {
	file := os.Getenv("KUBEWARDEN_REGISTRY_CA")
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the registry's authority: %w", err)
	}
	return map[string][]string{os.Getenv("KUBEWARDEN_REGISTRY"): {string(pem)}}, nil
}

func waitReady(ctx context.Context, object client.Object, conditions func() []metav1.Condition) error {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(object), object); client.IgnoreNotFound(err) != nil {
			return false, err
		}
		return apimeta.IsStatusConditionTrue(conditions(), policiesv1.ConditionReady), nil
	})
	if err != nil {
		return fmt.Errorf("wait until %T %s is ready: %w; its conditions: %+v", object, object.GetName(), err, conditions())
	}
	return nil
}

// uninstall deletes the Kubewarden and checks that nothing of it is left.
func uninstall(ctx context.Context) error {
	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: operatorv1alpha1.KubewardenName}}
	if err := cluster.Delete(ctx, kubewarden); err != nil {
		return fmt.Errorf("delete Kubewarden: %w", err)
	}
	var left []string
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		var err error
		left, err = leftovers(ctx)
		return len(left) == 0, err
	})
	if err != nil {
		return fmt.Errorf("uninstall: %w; still there: %v", err, left)
	}
	return nil
}

// leftovers lists what an uninstalled Kubewarden may not leave: webhooks, the default policy
// server and its children, audits.
func leftovers(ctx context.Context) ([]string, error) {
	var left []string
	// The webhooks of the operator itself stay with the operator.
	selector, err := labels.Parse("app.kubernetes.io/part-of=kubewarden,app.kubernetes.io/component!=operator")
	if err != nil {
		return nil, err
	}
	policies := client.MatchingLabelsSelector{Selector: selector}
	lists := map[client.ObjectList][]client.ListOption{
		&admissionregistrationv1.ValidatingWebhookConfigurationList{}: {policies},
		&admissionregistrationv1.MutatingWebhookConfigurationList{}:   {policies},
		&policiesv1.PolicyServerList{}:                                {},
		&operatorv1alpha1.KubewardenList{}:                            {},
		&appsv1.DeploymentList{}:                                      {client.InNamespace(operatorNamespace), client.HasLabels{"kubewarden/policy-server"}},
		&corev1.ServiceList{}:                                         {client.InNamespace(operatorNamespace), client.HasLabels{"kubewarden/policy-server"}},
		&corev1.ConfigMapList{}:                                       {client.InNamespace(operatorNamespace), client.HasLabels{"kubewarden/policy-server"}},
		&corev1.PodList{}:                                             {client.InNamespace(operatorNamespace), client.HasLabels{"kubewarden/policy-server"}},
		&batchv1.CronJobList{}:                                        {client.InNamespace(operatorNamespace)},
		&batchv1.JobList{}:                                            {client.InNamespace(operatorNamespace)},
	}
	for list, options := range lists {
		if err := cluster.List(ctx, list, options...); err != nil {
			return nil, err
		}
		objects, err := apimeta.ExtractList(list)
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			if named, ok := object.(client.Object); ok {
				left = append(left, fmt.Sprintf("%T %s", named, named.GetName()))
			}
		}
	}
	return left, nil
}
