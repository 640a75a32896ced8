package matching

import (
	"math/rand/v2"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core"
	corev1informers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// TestMatchAgreesWithTheAPIServer asks the API server's own admission plugin and a Matcher
// about the same webhooks and requests, which are drawn at random.
func TestMatchAgreesWithTheAPIServer(t *testing.T) {
	const draws = 4000
	compiler, server := NewCompiler(), newAPIServer(t)
	random := rand.New(rand.NewPCG(1, 2))
	called := 0
	for range draws {
		hook, request := drawWebhook(random), drawRequest(random)
		matcher, err := compiler.Compile(hook)
		if err != nil {
			t.Fatalf("compile %+v: %v", hook, err)
		}
		got, gotErr := matcher.Match(t.Context(), request)
		want, wantErr := server.ask(t, hook, request)
		if (gotErr != nil) != (wantErr != nil) || got.Matches != (want != nil) {
			t.Fatalf("webhook %+v\nrequest %+v\ngot %+v, %v\nwant %+v, %v", hook, request, got, gotErr, want, wantErr)
		}
		if want == nil {
			continue
		}
		called++
		if got.Resource.GVR != want.Resource || got.Resource.GVK() != want.Kind {
			t.Fatalf("webhook %+v\nrequest %+v\nmatched as %+v, want %v %v", hook, request, got.Resource, want.Resource, want.Kind)
		}
	}
	if called < draws/50 || called > draws*49/50 {
		t.Errorf("%d of %d requests reach their webhook: the draws prove little", called, draws)
	}
}

func drawWebhook(random *rand.Rand) Webhook {
	selectors := []*metav1.LabelSelector{
		nil, nil,
		{},
		equals("env", "prod"), equals("env", "test"),
		{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"prod"}}}},
	}
	expressions := [][]string{nil, nil, nil, {"true"}, {"false"}, {`object.metadata.labels.env == "prod"`}, {`request.kind.kind == "Pod"`}}
	hook := Webhook{
		Name:              "drawn",
		MatchPolicy:       draw(random, []*admissionregistrationv1.MatchPolicyType{new(admissionregistrationv1.Exact), new(admissionregistrationv1.Equivalent)}),
		FailurePolicy:     draw(random, []*admissionregistrationv1.FailurePolicyType{nil, new(admissionregistrationv1.Fail), new(admissionregistrationv1.Ignore)}),
		NamespaceSelector: draw(random, selectors),
		ObjectSelector:    draw(random, selectors),
		MatchConditions:   conditions(draw(random, expressions)...),
	}
	for range 1 + random.IntN(2) {
		r := rule(
			draw(random, []string{"*", "", "apps", "autoscaling"}),
			draw(random, []string{"*", "v1", "v2"}),
			draw(random, []string{"*", "*/*", "pods", "pods/*", "pods/exec", "deployments", "horizontalpodautoscalers", "namespaces", "nodes"}),
			draw(random, []admissionregistrationv1.OperationType{"*", "CREATE", "CREATE", "UPDATE"}),
		)
		r.Scope = draw(random, []*admissionregistrationv1.ScopeType{nil, new(admissionregistrationv1.AllScopes), new(admissionregistrationv1.ClusterScope), new(admissionregistrationv1.NamespacedScope)})
		hook.Rules = append(hook.Rules, r)
	}
	return hook
}

func drawRequest(random *rand.Rand) Request {
	labels := []map[string]string{nil, {"env": "prod"}, {"env": "test"}}
	request := create(draw(random, []Resource{pods, deployments, autoscalers1, autoscalers2, namespaces, nodes}), draw(random, labels))
	request.Equivalents = equivalentsOf(request.Resource)
	request.Convert = func(Resource) (runtime.Object, runtime.Object, error) { return request.Object, nil, nil }
	if request.Resource.Namespaced {
		request.NamespaceLabels = draw(random, labels)
	}
	return request
}

func draw[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func equivalentsOf(r Resource) []Resource {
	switch r {
	case autoscalers1:
		return []Resource{autoscalers2}
	case autoscalers2:
		return []Resource{autoscalers1}
	default:
		return nil
	}
}

// apiServer is the generic webhook plugin of the API server.
type apiServer struct{ plugin *generic.Webhook }

func newAPIServer(t *testing.T) apiServer {
	t.Helper()
	plugin, err := generic.NewWebhook(
		admission.NewHandler(admission.Create, admission.Update), nil,
		func(informers.SharedInformerFactory, sets.Set[schema.GroupResource]) generic.Source { return nil },
		func(*webhookutil.ClientManager) generic.Dispatcher { return nil },
	)
	if err != nil {
		t.Fatal(err)
	}
	plugin.SetUnconditionalAuthorizer(nobodyMay{})
	return apiServer{plugin: plugin}
}

// ask has the plugin decide. It knows no namespace but that of the request.
func (s apiServer) ask(t *testing.T, hook Webhook, request Request) (*generic.WebhookInvocation, error) {
	t.Helper()
	s.plugin.SetExternalKubeInformerFactory(oneNamespace{lister: singleNamespace{name: request.Namespace, labels: request.NamespaceLabels}})
	accessor := webhook.NewValidatingWebhookAccessor("uid", "configuration", &admissionregistrationv1.ValidatingWebhook{
		Name:              hook.Name,
		Rules:             hook.Rules,
		MatchPolicy:       hook.MatchPolicy,
		FailurePolicy:     hook.FailurePolicy,
		NamespaceSelector: defaulted(hook.NamespaceSelector),
		ObjectSelector:    defaulted(hook.ObjectSelector),
		MatchConditions:   hook.MatchConditions,
	})
	interfaces := &admission.RuntimeObjectInterfaces{EquivalentResourceMapper: mapper()}
	invocation, statusErr := s.plugin.ShouldCallHook(t.Context(), accessor, request.attributes(), interfaces, unconverted{request})
	if statusErr != nil {
		return nil, statusErr
	}
	return invocation, nil
}

// defaulted does what the API server's defaulting does before a webhook is stored.
func defaulted(selector *metav1.LabelSelector) *metav1.LabelSelector {
	if selector == nil {
		return &metav1.LabelSelector{}
	}
	return selector
}

func mapper() runtime.EquivalentResourceMapper {
	registry := runtime.NewEquivalentResourceRegistry()
	for _, r := range []Resource{autoscalers1, autoscalers2, pods, deployments, namespaces, nodes} {
		registry.RegisterKindFor(r.GVR, "", r.GVK())
	}
	return registry
}

// unconverted gives the object of the request in whatever version it is asked for.
type unconverted struct{ request Request }

func (u unconverted) VersionedAttribute(kind schema.GroupVersionKind) (*admission.VersionedAttributes, error) {
	return &admission.VersionedAttributes{
		Attributes:      u.request.attributes(),
		VersionedKind:   kind,
		VersionedObject: admission.NewLazyObject(u.request.Object),
	}, nil
}

// oneNamespace is an informer factory that knows one namespace and nothing else.
type oneNamespace struct {
	informers.SharedInformerFactory
	coreinformers.Interface
	corev1informers.TypedNamespaceInformer
	lister corelisters.NamespaceLister
}

func (o oneNamespace) Core() coreinformers.Interface { return coreOfOne{o} }

func (o oneNamespace) Lister() corelisters.NamespaceLister { return o.lister }

type coreOfOne struct{ oneNamespace }

func (c coreOfOne) V1() corev1informers.Interface { return v1OfOne{oneNamespace: c.oneNamespace} }

type v1OfOne struct {
	corev1informers.Interface
	oneNamespace oneNamespace
}

func (v v1OfOne) Namespaces() corev1informers.TypedNamespaceInformer { return v.oneNamespace }
