package plan

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// Policy is a policy or a policy group of any kind, as far as an audit is concerned.
type Policy struct {
	// ID names the policy in the URL of the policy server and in reports.
	ID string
	// Name, UID and ResourceVersion are those of the object.
	Name            string
	UID             types.UID
	ResourceVersion string
	// Namespace is that of a namespaced policy, which judges objects in it only; "" for a
	// policy of the whole cluster.
	Namespace string
	// Server is the name of the PolicyServer that runs the policy.
	Server string
	// State is what the policy's status says; only StateActive is audited.
	State string
	// Revision is the one revision of the policy, as its spec is now, that all ready replicas
	// of its server serve; "" while there is not exactly one, or while it is not known.
	Revision string
	// Deleting says that the policy is being deleted.
	Deleting bool
	// BackgroundAudit says that the policy wants to be audited.
	BackgroundAudit bool
	// Monitor, Mutating and ContextAware go into reports.
	Monitor, Mutating, ContextAware bool
	// Severity and Category go into reports; "" when the policy names none.
	Severity, Category string
	// Webhook decides which objects the policy is asked about.
	Webhook matching.Webhook
}

// StateActive is the state of a policy that is served and called.
const StateActive = "active"

// Resource is one version of a kind of objects that the cluster serves.
type Resource struct {
	matching.Resource
	// Storage is equal for all versions, of whatever group, in which the cluster serves
	// the very same objects: the storage version hash of discovery. "" is not known, and
	// then the versions of one resource in one group are taken for the same.
	Storage string
	// Listable says that objects can be listed; a request such as a SubjectAccessReview
	// leaves nothing behind that could be.
	Listable bool
}

// Input is what a plan is made of.
type Input struct {
	// Policies in any order.
	Policies []Policy
	// Resources in the order of discovery: groups by preference, in each group the
	// preferred version first. Of several versions that a policy's rules name, the first
	// is the one that is listed and asked about.
	Resources []Resource
	// Unknown are groups, or single versions of them, of which the cluster does not say what
	// it serves.
	Unknown []schema.GroupVersion
	// Operations that are replayed on objects that exist, each once, in the order in which
	// policies are asked; Create alone when there are none.
	Operations []matching.Operation
}

// Operations are all that can be replayed: an object that exists was created, it could be
// stored again as it is, and it could be deleted.
func Operations() []matching.Operation {
	return []matching.Operation{matching.Create, matching.Update, matching.Delete}
}
