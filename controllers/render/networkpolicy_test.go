package render_test

import (
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// end is one end of a connection: a Pod, or an address beyond the cluster.
type end struct {
	pod, namespace map[string]string
	address        string
}

func (e end) isPod() bool { return e.address == "" }

// Ends that the tests connect from and to.
var (
	prometheus = end{pod: map[string]string{"app": "prometheus"}, namespace: map[string]string{"kubernetes.io/metadata.name": "monitoring"}}
	tenantPod  = end{pod: map[string]string{"app": "shop"}, namespace: map[string]string{"kubernetes.io/metadata.name": "shop"}}
	apiServer  = end{address: "192.0.2.10"}
	registry   = end{address: "198.51.100.7"}
)

// connection is one to or from a Pod, seen from there.
type connection struct {
	direction networkingv1.PolicyType
	other     end
	port      int32
}

// connects says whether a Pod that a NetworkPolicy alone selects can be connected to
// (ingress) or can connect (egress), by the rules of the API: a direction that the policy
// does not name is open; one that it names is open as far as a rule says so.
func connects(t *testing.T, policy *networkingv1.NetworkPolicy, asked connection) bool {
	t.Helper()
	if !slices.Contains(policy.Spec.PolicyTypes, asked.direction) {
		return true
	}
	if asked.direction == networkingv1.PolicyTypeIngress {
		return slices.ContainsFunc(policy.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
			return allowsPeer(t, policy.Namespace, rule.From, asked.other) && allowsPort(rule.Ports, asked.port)
		})
	}
	return slices.ContainsFunc(policy.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return allowsPeer(t, policy.Namespace, rule.To, asked.other) && allowsPort(rule.Ports, asked.port)
	})
}

func allowsPort(ports []networkingv1.NetworkPolicyPort, port int32) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(allowed networkingv1.NetworkPolicyPort) bool {
		return allowed.Port == nil || allowed.Port.IntVal == port
	})
}

func allowsPeer(t *testing.T, own string, peers []networkingv1.NetworkPolicyPeer, other end) bool {
	t.Helper()
	return len(peers) == 0 || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		if peer.IPBlock != nil {
			return !other.isPod() && netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(netip.MustParseAddr(other.address))
		}
		if !other.isPod() {
			return false
		}
		if peer.NamespaceSelector == nil {
			return other.namespace["kubernetes.io/metadata.name"] == own && selects(t, peer.PodSelector, other.pod)
		}
		return selects(t, peer.NamespaceSelector, other.namespace) && (peer.PodSelector == nil || selects(t, peer.PodSelector, other.pod))
	})
}

func selects(t *testing.T, selector *metav1.LabelSelector, these map[string]string) bool {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Matches(labels.Set(these))
}

func TestNetworkPolicyLetsInWhatAPolicyServerIsFor(t *testing.T) {
	onlyPrometheus := operatorv1alpha1.NetworkPolicies{MetricsFrom: []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: prometheus.namespace},
		PodSelector:       &metav1.LabelSelector{MatchLabels: prometheus.pod},
	}}}
	otherPorts := func(spec *policiesv1.PolicyServerSpec) {
		spec.WebhookPort, spec.ReadinessProbePort = new(int32(8080)), new(int32(8082))
	}
	for name, tc := range map[string]struct {
		wanted         operatorv1alpha1.NetworkPolicies
		withoutMetrics bool
		mutate         func(*policiesv1.PolicyServerSpec)
		from           end
		port           int32
		want           bool
	}{
		"an API server asks":                                     {from: apiServer, port: contract.PortWebhook, want: true},
		"an API server that runs as a Pod asks":                  {from: tenantPod, port: contract.PortWebhook, want: true},
		"a kubelet probes":                                       {from: apiServer, port: contract.PortReadiness, want: true},
		"an API server asks at a port that the spec names":       {mutate: otherPorts, from: apiServer, port: 8080, want: true},
		"a kubelet probes a port that the spec names":            {mutate: otherPorts, from: apiServer, port: 8082, want: true},
		"the port that the spec does without":                    {mutate: otherPorts, from: apiServer, port: contract.PortWebhook},
		"a Pod reads metrics":                                    {from: prometheus, port: contract.PortMetrics, want: true},
		"a Pod reads metrics that had to make room":              {mutate: otherPorts, from: prometheus, port: 8081, want: true},
		"metrics from beyond the cluster":                        {from: registry, port: contract.PortMetrics},
		"metrics for the one who is named":                       {wanted: onlyPrometheus, from: prometheus, port: contract.PortMetrics, want: true},
		"metrics for another":                                    {wanted: onlyPrometheus, from: tenantPod, port: contract.PortMetrics},
		"an API server asks while metrics are for one":           {wanted: onlyPrometheus, from: apiServer, port: contract.PortWebhook, want: true},
		"metrics where there are none":                           {withoutMetrics: true, from: prometheus, port: contract.PortMetrics},
		"an API server asks where there are no metrics":          {withoutMetrics: true, from: apiServer, port: contract.PortWebhook, want: true},
		"a Pod tries another port":                               {from: prometheus, port: 6060},
		"an API server tries another port":                       {from: apiServer, port: 6060},
		"the one who reads metrics tries another port than that": {wanted: onlyPrometheus, from: prometheus, port: 6060},
	} {
		t.Run(name, func(t *testing.T) {
			in := serverInput()
			if tc.mutate != nil {
				in = serverInput(tc.mutate)
			}
			in.Installation.NetworkPolicies, in.Installation.WithoutMetrics = tc.wanted, tc.withoutMetrics
			policy := render.NetworkPolicy(in)
			if got := connects(t, policy, connection{networkingv1.PolicyTypeIngress, tc.from, tc.port}); got != tc.want {
				t.Errorf("got %t, want %t, by %+v", got, tc.want, policy.Spec)
			}
		})
	}
}

func TestNetworkPolicyLetsOutEverythingUnlessTold(t *testing.T) {
	toRegistry := operatorv1alpha1.NetworkPolicies{Egress: []networkingv1.NetworkPolicyEgressRule{{
		To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "198.51.100.0/24"}}},
		Ports: []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromInt32(443))}},
	}}}
	for name, tc := range map[string]struct {
		wanted operatorv1alpha1.NetworkPolicies
		to     end
		port   int32
		want   bool
	}{
		"to a registry":                       {to: registry, port: 443, want: true},
		"to a Pod":                            {to: tenantPod, port: 9999, want: true},
		"to the registry that is named":       {wanted: toRegistry, to: registry, port: 443, want: true},
		"to another port of it":               {wanted: toRegistry, to: registry, port: 22},
		"to a Pod where a registry is named":  {wanted: toRegistry, to: tenantPod, port: 443},
		"to others where a registry is named": {wanted: toRegistry, to: apiServer, port: 443},
	} {
		t.Run(name, func(t *testing.T) {
			in := serverInput()
			in.Installation.NetworkPolicies = tc.wanted
			policy := render.NetworkPolicy(in)
			if got := connects(t, policy, connection{networkingv1.PolicyTypeEgress, tc.to, tc.port}); got != tc.want {
				t.Errorf("got %t, want %t, by %+v", got, tc.want, policy.Spec)
			}
			if !connects(t, policy, connection{networkingv1.PolicyTypeIngress, apiServer, contract.PortWebhook}) {
				t.Error("the API server is kept out")
			}
		})
	}
}

// The selector has to find the Pods of the server, and of no other.
func TestNetworkPolicySelectsTheServersPodsAlone(t *testing.T) {
	policy := render.NetworkPolicy(serverInput())
	own, other := serverInput(everything), serverInput()
	other.Server.Name = "other"
	if !selects(t, &policy.Spec.PodSelector, render.Deployment(own).Spec.Template.Labels) {
		t.Error("the server's own Pods are not selected")
	}
	if selects(t, &policy.Spec.PodSelector, render.Deployment(other).Spec.Template.Labels) {
		t.Error("the Pods of another server are selected")
	}
}

func TestNetworkPolicyCanBeLeftOut(t *testing.T) {
	in := serverInput()
	in.Installation.NetworkPolicies.Enabled = new(false)
	for _, child := range mustRender(t, in) {
		if policy, is := child.(*networkingv1.NetworkPolicy); is {
			t.Errorf("got NetworkPolicy %s, want none", policy.Name)
		}
	}
}
