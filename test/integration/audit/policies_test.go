//go:build integration

package audit

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// combination is a policy of one kind or another; nothing says that none of its questions
// must be put, so that a table of silence cannot pass.
type combination struct {
	rule    policiesv1.Rule
	change  func(*policiesv1.ClusterAdmissionPolicySpec)
	nothing bool
	// namespace makes it an AdmissionPolicy in that namespace.
	namespace string
}

// on is a rule with lists written with commas, as in `apps,` for the groups apps and "".
func on(operations, groups, versions, resources string) policiesv1.Rule {
	rule := policiesv1.Rule{APIGroups: strings.Split(groups, ","), APIVersions: strings.Split(versions, ","), Resources: strings.Split(resources, ",")}
	for operation := range strings.SplitSeq(operations, ",") {
		rule.Operations = append(rule.Operations, admissionregistrationv1.OperationType(operation))
	}
	return rule
}

func scoped(rule policiesv1.Rule, scope admissionregistrationv1.ScopeType) policiesv1.Rule {
	rule.Scope = &scope
	return rule
}

type spec = policiesv1.ClusterAdmissionPolicySpec

// where selects by a requirement written as in `env In prod,test` or `env Exists`.
func where(requirement string) *metav1.LabelSelector {
	fields := strings.Fields(requirement)
	r := metav1.LabelSelectorRequirement{Key: fields[0], Operator: metav1.LabelSelectorOperator(fields[1])}
	if len(fields) > 2 {
		r.Values = strings.Split(fields[2], ",")
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{r}}
}

func inNamespaces(requirement string) func(*spec) {
	return func(s *spec) { s.NamespaceSelector = where(requirement) }
}

func onObjects(requirement string) func(*spec) {
	return func(s *spec) { s.ObjectSelector = where(requirement) }
}

func when(expressions ...string) func(*spec) {
	return func(s *spec) {
		for i, expression := range expressions {
			s.MatchConditions = append(s.MatchConditions, policiesv1.MatchCondition{Name: string(rune('a' + i)), Expression: expression})
		}
	}
}

func exactly(s *spec) { s.MatchPolicy = new(admissionregistrationv1.Exact) }

func mutating(s *spec) { s.Mutating = true }

func inside(s *spec) { s.AllowInsideAdmissionControllerNamespace = true }

func ignoring(expressions ...string) func(*spec) {
	return func(s *spec) {
		when(expressions...)(s)
		s.FailurePolicy = new(admissionregistrationv1.Ignore)
	}
}

func both(changes ...func(*spec)) func(*spec) {
	return func(s *spec) {
		for _, change := range changes {
			change(s)
		}
	}
}

var onMaps = on("CREATE", "", "v1", "configmaps")

// combinations are what policies can say about which requests they judge.
var combinations = map[string]combination{
	"one-resource":              {rule: onMaps},
	"two-resources":             {rule: on("CREATE", "", "v1", "configmaps,pods")},
	"two-groups":                {rule: on("CREATE", ",apps", "v1", "configmaps,deployments")},
	"no-such-pair":              {rule: on("CREATE", "apps", "v1", "configmaps"), nothing: true},
	"no-such-version":           {rule: on("CREATE", "", "v9", "configmaps"), nothing: true},
	"any-group":                 {rule: on("CREATE", "*", "v1", "configmaps")},
	"any-version":               {rule: on("CREATE", "apps", "*", "deployments")},
	"any-resource-of-a-group":   {rule: on("CREATE", "apps", "v1", "*")},
	"anything":                  {rule: on("CREATE", "*", "*", "*")},
	"anything-at-all":           {rule: on("*", "*", "*", "*/*")},
	"anything-mutating":         {rule: on("CREATE", "*", "*", "*"), change: mutating},
	"updates":                   {rule: on("UPDATE", "", "v1", "configmaps")},
	"deletions":                 {rule: on("DELETE", "", "v1", "configmaps")},
	"updates-and-deletions":     {rule: on("UPDATE,DELETE", "", "v1", "pods")},
	"any-operation":             {rule: on("*", "", "v1", "pods")},
	"connections":               {rule: on("CONNECT", "", "v1", "pods/exec"), nothing: true},
	"subresource":               {rule: on("CREATE,UPDATE", "", "v1", "pods/status"), nothing: true},
	"any-subresource-of-pods":   {rule: on("CREATE", "", "v1", "pods/*")},
	"a-subresource-of-anything": {rule: on("*", "", "v1", "*/status"), nothing: true},
	"scale-of-deployments":      {rule: on("UPDATE", "apps", "v1", "deployments/scale"), nothing: true},
	"scope-namespaced":          {rule: scoped(on("CREATE", "", "v1", "*"), admissionregistrationv1.NamespacedScope)},
	"scope-cluster":             {rule: scoped(on("CREATE", "*", "*", "*"), admissionregistrationv1.ClusterScope)},
	"scope-all":                 {rule: scoped(on("CREATE", "", "v1", "configmaps,namespaces"), admissionregistrationv1.AllScopes)},
	"scope-cluster-of-maps":     {rule: scoped(onMaps, admissionregistrationv1.ClusterScope), nothing: true},
	"scope-cluster-namespaces":  {rule: scoped(on("*", "", "v1", "namespaces"), admissionregistrationv1.ClusterScope)},
	"scope-namespaced-spaces":   {rule: scoped(on("*", "", "v1", "namespaces"), admissionregistrationv1.NamespacedScope), nothing: true},

	"namespaces-in":           {rule: onMaps, change: inNamespaces("env In prod,test")},
	"namespaces-not-in":       {rule: onMaps, change: inNamespaces("env NotIn prod")},
	"namespaces-exist":        {rule: onMaps, change: inNamespaces("env Exists")},
	"namespaces-do-not-exist": {rule: onMaps, change: inNamespaces("env DoesNotExist")},
	"namespaces-by-name":      {rule: onMaps, change: inNamespaces("kubernetes.io/metadata.name In plain")},
	"namespaces-labels": {rule: onMaps, change: func(s *spec) {
		s.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	}},
	"namespaces-none":            {rule: onMaps, change: inNamespaces("env In nowhere"), nothing: true},
	"namespaces-of-cluster-kind": {rule: on("*", "storage.k8s.io", "v1", "storageclasses"), change: inNamespaces("env In nowhere")},
	"namespace-objects-in":       {rule: on("*", "", "v1", "namespaces"), change: inNamespaces("env In prod")},
	"namespace-objects-not-in":   {rule: on("*", "", "v1", "namespaces"), change: inNamespaces("env NotIn prod")},
	"namespace-objects-all":      {rule: on("*", "", "v1", "namespaces")},

	"objects-in":             {rule: on("*", "", "v1", "configmaps"), change: onObjects("app In web")},
	"objects-not-in":         {rule: onMaps, change: onObjects("app NotIn web")},
	"objects-exist":          {rule: onMaps, change: onObjects("app Exists")},
	"objects-do-not-exist":   {rule: on("DELETE", "", "v1", "configmaps"), change: onObjects("app DoesNotExist")},
	"objects-labels":         {rule: on("*", "*", "*", "*"), change: func(s *spec) { s.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}} }},
	"objects-and-namespaces": {rule: onMaps, change: both(inNamespaces("env Exists"), onObjects("app Exists"))},

	"when-true":              {rule: onMaps, change: when("true")},
	"when-false":             {rule: onMaps, change: when("true", "false"), nothing: true},
	"when-object":            {rule: onMaps, change: when("object.metadata.name == 'web'")},
	"when-object-is-gone":    {rule: on("*", "", "v1", "configmaps"), change: when("object == null")},
	"when-old-object":        {rule: on("*", "", "v1", "configmaps"), change: when("oldObject != null && oldObject.metadata.name == 'web'")},
	"when-new":               {rule: on("*", "", "v1", "configmaps"), change: when("oldObject == null")},
	"when-user":              {rule: onMaps, change: when("request.userInfo.username == 'kubewarden:audit-scanner'")},
	"when-another-user":      {rule: onMaps, change: when("request.userInfo.username != 'kubewarden:audit-scanner'"), nothing: true},
	"when-group":             {rule: onMaps, change: when("'system:authenticated' in request.userInfo.groups && !('system:masters' in request.userInfo.groups)")},
	"when-operation":         {rule: on("*", "", "v1", "pods"), change: when("request.operation == 'DELETE'")},
	"when-in-namespace":      {rule: onMaps, change: when("request.namespace == 'prod'")},
	"when-kind":              {rule: on("CREATE", "*", "*", "*"), change: when("request.kind.kind in ['Widget', 'Pod']")},
	"when-no-namespace":      {rule: on("CREATE", "", "v1", "namespaces,configmaps"), change: when("request.namespace == request.name")},
	"when-namespace-object":  {rule: onMaps, change: when("namespaceObject == null")},
	"when-allowed":           {rule: onMaps, change: when("authorizer.group('').resource('configmaps').namespace('prod').check('create').allowed()")},
	"when-not-allowed":       {rule: onMaps, change: when("authorizer.group('').resource('secrets').namespace('prod').check('get').allowed()"), nothing: true},
	"when-request-resource":  {rule: onMaps, change: when("authorizer.requestResource.check('create').allowed()")},
	"when-path-allowed":      {rule: onMaps, change: when("authorizer.path('/healthz').check('get').allowed()")},
	"when-path-not-allowed":  {rule: onMaps, change: when("authorizer.path('/secret').check('get').allowed()"), nothing: true},
	"when-it-fails-ignored":  {rule: onMaps, change: ignoring("object.metadata.labels.app == 'web'")},
	"when-it-fails-at-times": {rule: on("*", "", "v1", "configmaps"), change: ignoring("object.data.key == 'value'")},

	"exact-version":         {rule: on("*", "example.com", "v1", "widgets"), change: exactly},
	"exact-other-version":   {rule: on("*", "example.com", "v2", "widgets"), change: exactly},
	"equivalent-version":    {rule: on("*", "example.com", "v1", "widgets")},
	"equivalent-conditions": {rule: on("*", "example.com", "v2", "widgets"), change: when("request.resource.version == 'v2'")},
	"equivalent-objects":    {rule: on("CREATE", "example.com", "v2", "widgets"), change: when("object.apiVersion == 'example.com/v2'")},
	"scalers-old-version":   {rule: on("CREATE", "autoscaling", "v1", "horizontalpodautoscalers")},
	"scalers-exact":         {rule: on("CREATE", "autoscaling", "v2", "horizontalpodautoscalers"), change: exactly},

	"inside":                    {rule: on("*", "", "v1", "configmaps,namespaces"), change: inside},
	"inside-and-selected":       {rule: onMaps, change: both(inside, inNamespaces("kubernetes.io/metadata.name In kubewarden"))},
	"only-inside-but-not-let":   {rule: onMaps, change: inNamespaces("kubernetes.io/metadata.name In kubewarden"), nothing: true},
	"only-exempt":               {rule: onMaps, change: inNamespaces("kubernetes.io/metadata.name In exempted"), nothing: true},
	"leases-by-name":            {rule: on("*", "coordination.k8s.io", "v1", "leases")},
	"the-installation":          {rule: on("*", "operator.kubewarden.io", "*", "*"), nothing: true},
	"reviews":                   {rule: on("*", "authentication.k8s.io,authorization.k8s.io", "*", "*"), nothing: true},
	"webhooks":                  {rule: on("*", "admissionregistration.k8s.io", "*", "*"), nothing: true},
	"of-a-namespace":            {rule: onMaps, namespace: "prod"},
	"of-a-namespace-mutating":   {rule: on("*", "", "v1", "pods"), namespace: "prod", change: mutating},
	"of-a-namespace-objects":    {rule: onMaps, namespace: "prod", change: onObjects("app Exists")},
	"of-a-namespace-conditions": {rule: onMaps, namespace: "plain", change: when("object.metadata.name == 'web'")},
	"of-the-exempt-namespace":   {rule: onMaps, namespace: "exempted", nothing: true},
	"of-the-operators":          {rule: onMaps, namespace: "kubewarden"},
}
