package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/answers"
	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Namespace is the one that guests call.
const Namespace = "kubernetes"

// Operations.
const (
	operationListAll = "list_resources_all"
	operationList    = "list_resources_by_namespace"
	operationGet     = "get_resource"
	operationCanI    = "can_i"
)

// answerTTL is how long an object and a review are kept, as upstream keeps them.
const answerTTL = 5 * time.Second

// Clients are how an API server is asked.
type Clients struct {
	Dynamic   dynamic.Interface
	Discovery discovery.DiscoveryInterface
	// Reviews makes SubjectAccessReviews.
	Reviews kubernetes.Interface
}

// NewClients asks the API server that the configuration names. How much it is asked, it
// bounds itself, by priority and fairness.
func NewClients(config *rest.Config) (*Clients, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for objects: %w", err)
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for reviews: %w", err)
	}
	return &Clients{Dynamic: objects, Discovery: typed.Discovery(), Reviews: typed}, nil
}

// Config is what a Capability is made from.
type Config struct {
	Clients *Clients
	// Unused is how long a kind is watched that is not wanted and that nobody asks for; 0
	// means 10 min.
	Unused time.Duration
	// Memory counts what is kept; nil does not, and bounds nothing.
	Memory *memory.Budget
	// Changed is called after what Problems tells may have changed; nil is not. It must not
	// wait.
	Changed func()
	Logger  *slog.Logger
	Now     func() time.Time
}

// Capability reads a cluster for policies. It is safe for concurrent use. It must be closed.
type Capability struct {
	config  Config
	kinds   *kinds
	watches *watches
	answers *answers.Cache
}

var _ host.Capability = (*Capability)(nil)

// New makes a capability that watches nothing yet.
func New(config Config) *Capability {
	return &Capability{
		config:  config,
		kinds:   newKinds(config.Clients.Discovery),
		watches: newWatches(config),
		answers: answers.New(answers.Config{TTL: answerTTL, Now: config.Now}),
	}
}

// Close ends all watches.
func (c *Capability) Close() { c.watches.close() }

// Usage is what is held of each kind that is watched.
func (c *Capability) Usage() []Usage { return c.watches.usage() }

// Call answers a guest.
func (c *Capability) Call(ctx context.Context, request host.Request) ([]byte, error) {
	switch request.Operation {
	case operationListAll, operationList:
		return c.list(ctx, request)
	case operationGet:
		return c.get(ctx, request)
	case operationCanI:
		return c.canI(ctx, request)
	default:
		return nil, host.RefusalError("unknown operation: " + request.Operation)
	}
}

// list answers with a List of what a selection finds.
func (c *Capability) list(ctx context.Context, request host.Request) ([]byte, error) {
	asked, err := decodeList(request.Payload, request.Operation == operationList)
	if err != nil {
		return nil, host.RefusalError(err.Error())
	}
	resource := host.Resource{APIVersion: asked.APIVersion, Kind: asked.Kind}
	if err := request.CheckRead(resource, host.Scope(asked.Namespace)); err != nil {
		return nil, err
	}
	kind, err := c.kinds.find(ctx, resource)
	if err != nil {
		return nil, err
	}
	if asked.Namespace != "" && !kind.namespaced {
		return nil, fmt.Errorf("resource %s is cluster wide. Cannot search for it inside of a namespace", kind)
	}
	if !asked.fields.inMemory {
		return c.listAside(ctx, kind, asked)
	}
	for {
		store, err := c.watches.read(ctx, kind)
		if err != nil {
			return nil, err
		}
		reply, err := store.list(asked)
		if !errors.Is(err, errForgotten) {
			return reply, err
		}
	}
}

// listAside asks the API server, which knows more fields to select by than names.
func (c *Capability) listAside(ctx context.Context, kind kind, asked list) ([]byte, error) {
	options := metav1.ListOptions{LabelSelector: asked.labels.String(), FieldSelector: asked.fields.selector.String()}
	found, err := c.config.Clients.Dynamic.Resource(kind.resource).Namespace(asked.Namespace).List(ctx, options)
	if err != nil {
		return nil, readError(kind, "list", err)
	}
	items := make([]item, 0, len(found.Items))
	for i := range found.Items {
		next, err := newItem(kind, &found.Items[i])
		if err != nil {
			return nil, err
		}
		items = append(items, next)
	}
	return asked.answer(items)
}

// get answers with one object.
func (c *Capability) get(ctx context.Context, request host.Request) ([]byte, error) {
	asked, err := decodeGet(request.Payload)
	if err != nil {
		return nil, host.RefusalError(err.Error())
	}
	resource := host.Resource{APIVersion: asked.APIVersion, Kind: asked.Kind}
	if err := request.CheckRead(resource, host.Scope(asked.Namespace)); err != nil {
		return nil, err
	}
	kind, err := c.kinds.find(ctx, resource)
	if err != nil {
		return nil, err
	}
	namespace := asked.Namespace
	switch {
	case !kind.namespaced:
		namespace = ""
		// What is in no namespace is not for the policy of one, whatever namespace it names.
		if err := request.CheckRead(resource, host.ScopeCluster); err != nil {
			return nil, err
		}
	case namespace == "":
		return nil, fmt.Errorf("Resource %s is namespaced, but no namespace was provided", kind) //nolint:staticcheck // upstream's text, known to users
	}
	ask := func(ctx context.Context) ([]byte, error) {
		found, err := c.config.Clients.Dynamic.Resource(kind.resource).Namespace(namespace).Get(ctx, asked.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("Cannot find %s named '%s' inside of namespace '%s'", kind, asked.Name, debugOption(namespace)) //nolint:staticcheck // upstream's text, known to users
		}
		if err != nil {
			return nil, readError(kind, "get", err)
		}
		return json.Marshal(found.Object)
	}
	content, err := c.ask(ctx, *asked.DisableCache, answers.Question{Key: keyOf("get", kind.String(), namespace, asked.Name), Asker: request.PolicyID}, ask)
	if err != nil {
		return nil, err
	}
	return asked.masks.prune(content)
}

// ask asks, or gives what was answered a moment ago.
func (c *Capability) ask(ctx context.Context, uncached bool, question answers.Question, ask func(context.Context) ([]byte, error)) ([]byte, error) {
	if uncached {
		return ask(ctx)
	}
	return c.answers.Get(ctx, question, ask)
}

// keyOf is a key of an answer: no two lists of words have the same.
func keyOf(words ...string) string { return fmt.Sprintf("%q", words) }

// debugOption is how upstream prints a namespace that may be missing.
func debugOption(namespace string) string {
	if namespace == "" {
		return "None"
	}
	return fmt.Sprintf("Some(%q)", namespace)
}

// readError names the right that an account lacks.
func readError(kind kind, verb string, err error) error {
	if isNoRoom(err) {
		return err
	}
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return fmt.Errorf("the account of the policy server lacks the right to %s %s (apiGroup %q): %w", verb, kind.resource.Resource, kind.resource.Group, err)
	}
	return fmt.Errorf("%s %s: %w", verb, kind, err)
}
