package render

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// maxMatchConditions is how many match conditions the API server takes per webhook.
const maxMatchConditions = 64

// exemption is a kind of request that no policy is asked about, for a policy that
// refuses it, or whose server is down, would take away the means of repair.
type exemption struct {
	// words describe it to users.
	words string
	// expression is true, in CEL, for such a request. It must not err on any request: an
	// error would refuse what the other exemptions let pass.
	expression string
}

// exemptions is the table from which both the match condition and its description come.
func exemptions(config Config) []exemption {
	return []exemption{
		{
			words:      "requests for the API group " + operatorv1alpha1.GroupVersion.Group + ", so that enforcement can always be suspended",
			expression: inGroups(operatorv1alpha1.GroupVersion.Group),
		},
		{
			words:      "requests of the operator itself (" + config.username() + ")",
			expression: byUser(config.username()),
		},
		{
			words:      "requests that the API server makes of itself (system:apiserver)",
			expression: byUser("system:apiserver"),
		},
		{
			words:      "requests for the API groups authentication.k8s.io and authorization.k8s.io, such as token and access reviews",
			expression: inGroups("authentication.k8s.io", "authorization.k8s.io"),
		},
		{
			words: "requests of nodes (group system:nodes) for nodes, nodes/status, csinodes, leases, events, pods/status, " +
				"serviceaccounts/token and certificatesigningrequests",
			expression: all(byGroup("system:nodes"), onResources(
				"/nodes", "/nodes/status", "storage.k8s.io/csinodes", "coordination.k8s.io/leases", "/events", "events.k8s.io/events",
				"/pods/status", "/serviceaccounts/token", "certificates.k8s.io/certificatesigningrequests")),
		},
		{
			words:      "requests of joining nodes (group system:bootstrappers) for certificatesigningrequests",
			expression: all(byGroup("system:bootstrappers"), onResources("certificates.k8s.io/certificatesigningrequests")),
		},
		{
			words: "requests of the controllers in kube-system and of system:kube-controller-manager for certificatesigningrequests, " +
				"their approval and status, endpoints and endpointslices",
			expression: all(
				anyOf(byServiceAccountsOf("kube-system"), byUser("system:kube-controller-manager")),
				onResources(
					"certificates.k8s.io/certificatesigningrequests",
					"certificates.k8s.io/certificatesigningrequests/approval",
					"certificates.k8s.io/certificatesigningrequests/status",
					"/endpoints", "discovery.k8s.io/endpointslices")),
		},
		{
			words:      "the tokens that system:kube-controller-manager asks for in kube-system, without which none of its controllers runs",
			expression: all(byUser("system:kube-controller-manager"), onResources("/serviceaccounts/token"), inNamespaces("kube-system")),
		},
		{
			words: "requests of the controllers in kube-system and of system:kube-controller-manager for nodes and nodes/status, " +
				"such as the end of a taint that keeps Pods off a node that is back",
			expression: all(anyOf(byServiceAccountsOf("kube-system"), byUser("system:kube-controller-manager")), onResources("/nodes", "/nodes/status")),
		},
		{
			words:      "the binding of Pods to nodes by system:kube-scheduler",
			expression: all(byUser("system:kube-scheduler"), onResources("/pods/binding")),
		},
		{
			words:      "requests for the API group coordination.k8s.io in the namespaces kube-system and kube-node-lease, such as leases of leaders and nodes",
			expression: all(inGroups("coordination.k8s.io"), inNamespaces("kube-system", "kube-node-lease")),
		},
	}
}

// NeverLockOut describes, in words, the requests that no policy is ever asked about.
func NeverLockOut(config Config) []string {
	table := exemptions(config)
	words := make([]string, 0, len(table))
	for _, exemption := range table {
		words = append(words, exemption.words)
	}
	return words
}

// neverLockOutExpression is true for the requests that policies are asked about.
func neverLockOutExpression(config Config) string {
	table := exemptions(config)
	expressions := make([]string, 0, len(table))
	for _, exemption := range table {
		expressions = append(expressions, exemption.expression)
	}
	return "!(\n  " + strings.Join(expressions, " ||\n  ") + "\n)"
}

// matchConditions are the policy's own and, last, the one that never locks out. When the
// policy uses all the room there is, the two last are joined into one.
func (in WebhookInput) matchConditions() []admissionregistrationv1.MatchCondition {
	own := in.Policy.GetAdmissionSpec().MatchConditions
	conditions := make([]admissionregistrationv1.MatchCondition, 0, len(own)+1)
	for _, condition := range own {
		conditions = append(conditions, admissionregistrationv1.MatchCondition{Name: condition.Name, Expression: condition.Expression})
	}
	neverLockOut := neverLockOutExpression(in.Config)
	if len(conditions) < maxMatchConditions {
		return append(conditions, admissionregistrationv1.MatchCondition{
			Name: policiesv1.NeverLockOutCondition, Expression: neverLockOut,
		})
	}
	last := &conditions[len(conditions)-1]
	// The line breaks end a comment that the expression may end with.
	last.Expression = "(" + last.Expression + "\n) && (" + neverLockOut + "\n)"
	return conditions
}

// The functions below make up CEL expressions. Members that a request may lack are
// guarded by has().

func all(expressions ...string) string { return "(" + strings.Join(expressions, " && ") + ")" }

func anyOf(expressions ...string) string { return "(" + strings.Join(expressions, " || ") + ")" }

func inGroups(groups ...string) string { return "request.resource.group in " + list(groups) }

func inNamespaces(namespaces ...string) string {
	return "has(request.namespace) && request.namespace in " + list(namespaces)
}

func byUser(name string) string {
	return "(has(request.userInfo.username) && request.userInfo.username == " + quote(name) + ")"
}

func byServiceAccountsOf(namespace string) string {
	return "(has(request.userInfo.username) && request.userInfo.username.startsWith(" + quote("system:serviceaccount:"+namespace+":") + "))"
}

func byGroup(name string) string {
	return "has(request.userInfo.groups) && " + quote(name) + " in request.userInfo.groups"
}

// onResources takes "group/resource" or "group/resource/subresource"; "" is the core group.
func onResources(resources ...string) string {
	return "request.resource.group + '/' + request.resource.resource + " +
		"(has(request.subResource) && request.subResource != '' ? '/' + request.subResource : '') in " + list(resources)
}

func list(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, value := range values {
		quoted = append(quoted, quote(value))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quote makes a CEL string of a name, which never holds a quote or a backslash.
func quote(name string) string { return "'" + name + "'" }
