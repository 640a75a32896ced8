package render_test

import (
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// decode reads the one object of a file of config.
func decode(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile("../../config/" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		t.Fatalf("decode %s: %v", path, err)
	}
}

// Every port of the operator is let in, and no other; metrics for Pods alone.
func TestNetworkPolicyOfTheOperator(t *testing.T) {
	var policy networkingv1.NetworkPolicy
	decode(t, "network-policy/operator.yaml", &policy)
	var operator appsv1.Deployment
	decode(t, "manager/manager.yaml", &operator)
	if !selects(t, &policy.Spec.PodSelector, operator.Spec.Template.Labels) || policy.Namespace != operator.Namespace {
		t.Error("the operator's Pods are not selected")
	}
	ports := operator.Spec.Template.Spec.Containers[0].Ports
	listening := make([]string, 0, len(ports))
	for _, port := range ports {
		listening = append(listening, port.Name)
	}
	fromPods := map[string]bool{}
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			if !slices.Contains(listening, port.Port.StrVal) {
				t.Errorf("the operator listens on no port %q", port.Port.StrVal)
			}
			fromPods[port.Port.StrVal] = !allowsPeer(t, policy.Namespace, rule.From, apiServer)
		}
	}
	for _, port := range listening {
		onlyPods, isLetIn := fromPods[port]
		if !isLetIn || onlyPods != (port == "metrics") {
			t.Errorf("port %s: let in %t, from Pods alone %t, want it let in, from Pods alone for metrics only", port, isLetIn, onlyPods)
		}
	}
}

func TestNetworkPolicyOfTheAuditScanner(t *testing.T) {
	var policy networkingv1.NetworkPolicy
	decode(t, "network-policy/audit_scanner.yaml", &policy)
	scanner := render.AuditScanner(render.AuditScannerInput{
		Config: config(), Installation: installation(), Audit: operatorv1alpha1.Audit{}, CABundle: []byte("CA"),
	})
	var found bool
	for _, object := range scanner {
		if job, is := object.(*batchv1.CronJob); is {
			found = selects(t, &policy.Spec.PodSelector, job.Spec.JobTemplate.Spec.Template.Labels) && job.Namespace == policy.Namespace
		}
	}
	if !found {
		t.Error("the scanner's Pods are not selected")
	}
	if selects(t, &policy.Spec.PodSelector, render.Deployment(serverInput()).Spec.Template.Labels) {
		t.Error("the Pods of a policy server are selected")
	}
	if connects(t, &policy, connection{networkingv1.PolicyTypeIngress, tenantPod, 8080}) {
		t.Error("a Pod is let in")
	}
}
