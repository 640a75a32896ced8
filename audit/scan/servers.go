package scan

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// labelInstance finds the Service of a policy server: its value is the base name of the
// PolicyServer's children. Upstream's controller sets it and upstream's scanner reads it.
const labelInstance = "app.kubernetes.io/instance"

// endpoint is where a policy server answers, or why that is not known.
type endpoint struct {
	url string
	err error
}

// servers finds the policy servers of policies, each once.
func (s *Scanner) servers(ctx context.Context, policies []*plan.Policy) map[string]endpoint {
	servers := map[string]endpoint{}
	for _, policy := range policies {
		if _, known := servers[policy.Server]; known {
			continue
		}
		url, err := s.serverURL(ctx, policy.Server)
		if err != nil {
			s.config.Log.ErrorContext(ctx, "cannot find a policy server: its policies yield errors", "policyServer", policy.Server, "error", err.Error())
		}
		servers[policy.Server] = endpoint{url: url, err: err}
	}
	return servers
}

func (s *Scanner) serverURL(ctx context.Context, name string) (string, error) {
	if s.config.PolicyServerURL != "" {
		return strings.TrimSuffix(s.config.PolicyServerURL, "/"), nil
	}
	err := s.config.Client.Get(ctx, types.NamespacedName{Name: name}, &policiesv1.PolicyServer{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("policy server %s does not exist", name)
	}
	if err != nil {
		return "", fmt.Errorf("get PolicyServer %s: %w", name, err)
	}
	services := &corev1.ServiceList{}
	err = s.config.Client.List(ctx, services, client.InNamespace(s.config.KubewardenNamespace), client.MatchingLabels{labelInstance: contract.ConfigMapName(name)})
	if err != nil {
		return "", fmt.Errorf("list the Services of policy server %s: %w", name, err)
	}
	service, err := only(services.Items)
	if err != nil {
		return "", fmt.Errorf("find the Service of policy server %s in namespace %s by label %s=%s: %w", name, s.config.KubewardenNamespace, labelInstance, contract.ConfigMapName(name), err)
	}
	return fmt.Sprintf("https://%s.%s.svc:%d", service.Name, service.Namespace, service.Spec.Ports[0].Port), nil
}

// only is the one Service that must be there, with a port at least.
func only(services []corev1.Service) (*corev1.Service, error) {
	switch {
	case len(services) != 1:
		return nil, fmt.Errorf("there are %d, where 1 is needed", len(services))
	case len(services[0].Spec.Ports) == 0:
		return nil, errors.New("it has no port")
	default:
		return &services[0], nil
	}
}
