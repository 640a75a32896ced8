//go:build e2e_olm

package olm

import (
	"context"
	"fmt"
	"os"
	"testing"

	operatorsv1 "github.com/operator-framework/api/pkg/operators/v1"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// cluster is the cluster under test.
var cluster client.Client

// catalogAddress is where the catalog answers inside the cluster; `cluster catalog` prints it.
var catalogAddress = os.Getenv("KUBEWARDEN_CATALOG")

func TestMain(m *testing.M) {
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e of OLM:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func connect() error {
	if catalogAddress == "" {
		return fmt.Errorf("KUBEWARDEN_CATALOG is empty; `make e2e-olm` serves a catalog and sets it")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, operatorsv1.AddToScheme, operatorsv1alpha1.AddToScheme,
		operatorv1alpha1.AddToScheme, policiesv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if cluster, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return refuseOtherInstallation(context.Background())
}

// refuseOtherInstallation fails where the operator runs already: OLM would take over half
// of it.
func refuseOtherInstallation(ctx context.Context) error {
	deployment := &appsv1.Deployment{}
	err := cluster.Get(ctx, client.ObjectKey{Namespace: namespaceName, Name: operatorName}, deployment)
	if err == nil {
		return fmt.Errorf("the operator is installed already, in namespace %s; remove it first: make undeploy", namespaceName)
	}
	return client.IgnoreNotFound(err)
}
