package render_test

import (
	"context"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	celplugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// oldest is the oldest API server that the operator supports; it understands what its
// predecessor did.
var oldest = version.MajorMinor(1, 29)

// matcher compiles match conditions as the API server does.
func matcher(t *testing.T, compatibility *version.Version, conditions []admissionregistrationv1.MatchCondition) matchconditions.Matcher {
	t.Helper()
	expressions := make([]celplugin.ExpressionAccessor, 0, len(conditions))
	for _, condition := range conditions {
		expressions = append(expressions, (*matchconditions.MatchCondition)(&condition))
	}
	compiler := celplugin.NewConditionCompiler(environment.MustBaseEnvSet(compatibility))
	evaluator := compiler.CompileCondition(expressions,
		celplugin.OptionalVariableDeclarations{HasAuthorizer: true}, environment.StoredExpressions)
	for _, err := range evaluator.CompilationErrors() {
		t.Fatalf("compile a match condition: %v", err)
	}
	fail := admissionregistrationv1.Fail
	return matchconditions.NewMatcher(evaluator, &fail, "webhook", "validate", "test")
}

// request is an admission request as far as the exemptions look at it.
type request struct {
	user      string
	groups    []string
	resource  string
	group     string
	sub       string
	namespace string
}

func (r request) attributes() *admission.VersionedAttributes {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: r.namespace}}
	kind := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	attributes := admission.NewAttributesRecord(object, nil, kind, r.namespace, "x",
		schema.GroupVersionResource{Group: r.group, Version: "v1", Resource: r.resource}, r.sub,
		admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: r.user, Groups: r.groups})
	return &admission.VersionedAttributes{Attributes: attributes, VersionedObject: admission.NewLazyObject(object), VersionedKind: kind}
}

const (
	tenant            = "system:serviceaccount:team:deployer"
	node              = "system:node:one"
	kubeSystem        = "system:serviceaccount:kube-system:endpoint-controller"
	controllerManager = "system:kube-controller-manager"
	scheduler         = "system:kube-scheduler"
	operator          = "system:serviceaccount:kubewarden:kubewarden-operator"
)

var (
	nodes         = []string{"system:nodes", "system:authenticated"}
	bootstrappers = []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"}
	people        = []string{"system:authenticated"}
)

// requests lists, for each exemption, what must get through though every policy server is
// dead, and beside it what comes close and must stay guarded.
var requests = map[string]struct {
	request request
	exempt  bool
}{
	"an edit of the Kubewarden":                         {request{user: "admin", groups: people, group: "operator.kubewarden.io", resource: "kubewardens"}, true},
	"an edit of a policy":                               {request{user: "admin", groups: people, group: "policies.kubewarden.io", resource: "clusteradmissionpolicies"}, false},
	"the operator writes a Deployment":                  {request{user: operator, groups: people, group: "apps", resource: "deployments", namespace: "team"}, true},
	"the operator writes a cluster-wide object":         {request{user: operator, groups: people, group: "rbac.authorization.k8s.io", resource: "clusterrolebindings"}, true},
	"another account of the operator's namespace":       {request{user: "system:serviceaccount:kubewarden:default", groups: people, group: "apps", resource: "deployments", namespace: "team"}, false},
	"the operator's account name in another namespace":  {request{user: "system:serviceaccount:team:kubewarden-operator", groups: people, group: "apps", resource: "deployments", namespace: "team"}, false},
	"the API server brings its roles up to date":        {request{user: "system:apiserver", groups: []string{"system:masters"}, group: "rbac.authorization.k8s.io", resource: "clusterroles"}, true},
	"an administrator edits a role":                     {request{user: "admin", groups: []string{"system:masters"}, group: "rbac.authorization.k8s.io", resource: "clusterroles"}, false},
	"a token review":                                    {request{user: tenant, groups: people, group: "authentication.k8s.io", resource: "tokenreviews"}, true},
	"an access review":                                  {request{user: tenant, groups: people, group: "authorization.k8s.io", resource: "subjectaccessreviews"}, true},
	"a local access review":                             {request{user: tenant, groups: people, group: "authorization.k8s.io", resource: "localsubjectaccessreviews", namespace: "team"}, true},
	"a node registers":                                  {request{user: node, groups: nodes, resource: "nodes"}, true},
	"a node reports its status":                         {request{user: node, groups: nodes, resource: "nodes", sub: "status"}, true},
	"an administrator edits a node":                     {request{user: "admin", groups: people, resource: "nodes"}, false},
	"a node reports its storage drivers":                {request{user: node, groups: nodes, group: "storage.k8s.io", resource: "csinodes"}, true},
	"a node renews its lease":                           {request{user: node, groups: nodes, group: "coordination.k8s.io", resource: "leases", namespace: "kube-node-lease"}, true},
	"a node writes an event":                            {request{user: node, groups: nodes, resource: "events", namespace: "team"}, true},
	"a node writes an event of the newer group":         {request{user: node, groups: nodes, group: "events.k8s.io", resource: "events", namespace: "team"}, true},
	"a tenant writes an event":                          {request{user: tenant, groups: people, resource: "events", namespace: "team"}, false},
	"a node reports the status of a Pod":                {request{user: node, groups: nodes, resource: "pods", sub: "status", namespace: "team"}, true},
	"a node creates a Pod":                              {request{user: node, groups: nodes, resource: "pods", namespace: "team"}, false},
	"a tenant writes the status of a Pod":               {request{user: tenant, groups: people, resource: "pods", sub: "status", namespace: "team"}, false},
	"a node asks for a token for a Pod":                 {request{user: node, groups: nodes, resource: "serviceaccounts", sub: "token", namespace: "team"}, true},
	"a tenant asks for a token":                         {request{user: tenant, groups: people, resource: "serviceaccounts", sub: "token", namespace: "team"}, false},
	"a node asks for a certificate":                     {request{user: node, groups: nodes, group: "certificates.k8s.io", resource: "certificatesigningrequests"}, true},
	"a node writes a ConfigMap":                         {request{user: node, groups: nodes, resource: "configmaps", namespace: "team"}, false},
	"a joining node asks for a certificate":             {request{user: "system:bootstrap:abcdef", groups: bootstrappers, group: "certificates.k8s.io", resource: "certificatesigningrequests"}, true},
	"a joining node approves a certificate":             {request{user: "system:bootstrap:abcdef", groups: bootstrappers, group: "certificates.k8s.io", resource: "certificatesigningrequests", sub: "approval"}, false},
	"a joining node registers without a certificate":    {request{user: "system:bootstrap:abcdef", groups: bootstrappers, resource: "nodes"}, false},
	"a controller approves a certificate":               {request{user: "system:serviceaccount:kube-system:certificate-controller", groups: people, group: "certificates.k8s.io", resource: "certificatesigningrequests", sub: "approval"}, true},
	"a controller signs a certificate":                  {request{user: controllerManager, groups: people, group: "certificates.k8s.io", resource: "certificatesigningrequests", sub: "status"}, true},
	"a controller deletes a certificate request":        {request{user: controllerManager, groups: people, group: "certificates.k8s.io", resource: "certificatesigningrequests"}, true},
	"a tenant asks for a certificate":                   {request{user: tenant, groups: people, group: "certificates.k8s.io", resource: "certificatesigningrequests"}, false},
	"a controller writes endpoints":                     {request{user: kubeSystem, groups: people, resource: "endpoints", namespace: "team"}, true},
	"a controller writes endpoint slices":               {request{user: controllerManager, groups: people, group: "discovery.k8s.io", resource: "endpointslices", namespace: "team"}, true},
	"a tenant writes endpoint slices":                   {request{user: tenant, groups: people, group: "discovery.k8s.io", resource: "endpointslices", namespace: "team"}, false},
	"a controller creates a Pod":                        {request{user: kubeSystem, groups: people, resource: "pods", namespace: "team"}, false},
	"a controller re-creates a Pod in kube-system":      {request{user: kubeSystem, groups: people, resource: "pods", namespace: "kube-system"}, false},
	"a namespace that is named like kube-system":        {request{user: "system:serviceaccount:kube-system-2:x", groups: people, resource: "endpoints", namespace: "team"}, false},
	"the controller manager asks for a token":           {request{user: controllerManager, groups: people, resource: "serviceaccounts", sub: "token", namespace: "kube-system"}, true},
	"it asks for a token of a team":                     {request{user: controllerManager, groups: people, resource: "serviceaccounts", sub: "token", namespace: "team"}, false},
	"a controller asks for a token of another":          {request{user: kubeSystem, groups: people, resource: "serviceaccounts", sub: "token", namespace: "kube-system"}, false},
	"a controller takes a taint off a node":             {request{user: "system:serviceaccount:kube-system:node-controller", groups: people, resource: "nodes"}, true},
	"the controller manager says that a node is gone":   {request{user: controllerManager, groups: people, resource: "nodes", sub: "status"}, true},
	"a tenant takes a taint off a node":                 {request{user: tenant, groups: people, resource: "nodes"}, false},
	"a controller connects through a node":              {request{user: kubeSystem, groups: people, resource: "nodes", sub: "proxy"}, false},
	"the scheduler binds a Pod":                         {request{user: scheduler, groups: people, resource: "pods", sub: "binding", namespace: "team"}, true},
	"a tenant binds a Pod":                              {request{user: tenant, groups: people, resource: "pods", sub: "binding", namespace: "team"}, false},
	"the scheduler creates a Pod":                       {request{user: scheduler, groups: people, resource: "pods", namespace: "team"}, false},
	"a leader renews its lease in kube-system":          {request{user: scheduler, groups: people, group: "coordination.k8s.io", resource: "leases", namespace: "kube-system"}, true},
	"a lease in the namespace of a team":                {request{user: tenant, groups: people, group: "coordination.k8s.io", resource: "leases", namespace: "team"}, false},
	"a tenant creates a Pod":                            {request{user: tenant, groups: people, resource: "pods", namespace: "team"}, false},
	"an exec into a Pod":                                {request{user: "admin", groups: people, resource: "pods", sub: "exec", namespace: "team"}, false},
	"a request without a name and without groups":       {request{resource: "configmaps", namespace: "team"}, false},
	"a cluster-wide object without a name of its maker": {request{group: "coordination.k8s.io", resource: "leases"}, false},
}

func TestNeverLockOut(t *testing.T) {
	full := conditions(64)
	environments := map[string]struct {
		compatibility *version.Version
		policy        *policiesv1.ClusterAdmissionPolicy
	}{
		"oldest API server":                {oldest, policy()},
		"newest API server":                {environment.DefaultCompatibilityVersion(), policy()},
		"joined with the user's 64th":      {oldest, policy(full)},
		"beside a condition that does err": {oldest, policy(failing)},
	}
	for name, env := range environments {
		t.Run(name, func(t *testing.T) {
			matcher := matcher(t, env.compatibility, validatingWebhook(t, webhookInput(env.policy)).MatchConditions)
			for name, tc := range requests {
				result := matcher.Match(context.Background(), tc.request.attributes(), nil, nil)
				// A condition of the user that errs refuses what is guarded: that is theirs.
				guarded := result.Matches || result.Error != nil
				if guarded == tc.exempt {
					t.Errorf("%s: guarded is %t (error %v), want %t", name, guarded, result.Error, !tc.exempt)
				}
			}
		})
	}
}

// failing adds a condition that errs on every request.
func failing(policy *policiesv1.ClusterAdmissionPolicy) {
	policy.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "errs", Expression: "object.metadata.annotations['absent'] == 'x'"}}
}

// Our condition alone must never err, whatever a request lacks: an error of it would
// refuse what the exemptions let pass.
func TestNeverLockOutDoesNotErr(t *testing.T) {
	matcher := matcher(t, oldest, validatingWebhook(t, webhookInput(policy())).MatchConditions)
	for name, tc := range requests {
		if result := matcher.Match(context.Background(), tc.request.attributes(), nil, nil); result.Error != nil {
			t.Errorf("%s: %v", name, result.Error)
		}
	}
}

func TestNeverLockOutInWords(t *testing.T) {
	words := render.NeverLockOut(config())
	if len(words) != 11 {
		t.Errorf("got %d descriptions, want one for each of the 11 exemptions", len(words))
	}
	for _, description := range words {
		if description == "" {
			t.Error("an exemption has no description")
		}
	}
}
