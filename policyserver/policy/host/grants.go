package host

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Resource is a kind of Kubernetes object that a policy may read.
type Resource struct {
	APIVersion string
	Kind       string
}

// Grants are what one policy may ask of the host. The zero value grants nothing, and a
// Grants does not change once it is made.
type Grants struct {
	all       bool
	prefixes  []string // "oci/", sorted
	leaves    []string // sorted
	resources map[Resource]struct{}
}

// NewGrants checks the patterns (a policy's hostCapabilities) and joins them with the
// kinds that the policy may read (its contextAwareResources). A pattern is "*", a known
// prefix with "/*", or a capability. No pattern grants nothing. The error names the
// pattern and what is allowed in its place.
func NewGrants(patterns []string, resources []Resource) (Grants, error) {
	var grants Grants
	for _, pattern := range patterns {
		pattern = strings.TrimSpace(pattern)
		if pattern == "*" { // what follows it adds nothing and is not looked at
			grants = Grants{all: true}
			break
		}
		if err := checkPattern(pattern); err != nil {
			return Grants{}, fmt.Errorf("invalid pattern%w", err)
		}
		if prefix, wildcard := strings.CutSuffix(pattern, "*"); wildcard {
			grants.prefixes = append(grants.prefixes, prefix)
		} else {
			grants.leaves = append(grants.leaves, pattern)
		}
	}
	slices.Sort(grants.prefixes)
	slices.Sort(grants.leaves)
	grants.prefixes = slices.Compact(grants.prefixes)
	grants.leaves = slices.Compact(grants.leaves)
	if len(resources) > 0 {
		grants.resources = make(map[Resource]struct{}, len(resources))
		for _, resource := range resources {
			grants.resources[resource] = struct{}{}
		}
	}
	return grants, nil
}

// Allows says whether the policy may call the capability, "oci/v1/verify" for example.
func (g Grants) Allows(capability string) bool {
	if g.all || slices.Contains(g.leaves, capability) {
		return true
	}
	return slices.ContainsFunc(g.prefixes, func(prefix string) bool { return strings.HasPrefix(capability, prefix) })
}

// AllowsResource says whether the policy may read objects of this kind.
func (g Grants) AllowsResource(resource Resource) bool {
	_, ok := g.resources[resource]
	return ok
}

// ReadsResources says whether there is any kind of object that the policy may read.
func (g Grants) ReadsResources() bool { return len(g.resources) > 0 }

// ListsResources says whether the policy may list objects of the kinds that it may read.
func (g Grants) ListsResources() bool {
	return g.ReadsResources() && (g.Allows(namespaceKubernetes+"/"+operationListAll) || g.Allows(namespaceKubernetes+"/"+operationListByNamespace))
}

// Resources are the kinds of objects that the policy may read, in order.
func (g Grants) Resources() []Resource {
	return slices.SortedFunc(maps.Keys(g.resources), func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind))
	})
}

// String lists the granted patterns: wildcards first, each part sorted.
func (g Grants) String() string {
	if g.all {
		return "[*]"
	}
	patterns := make([]string, 0, len(g.prefixes)+len(g.leaves))
	for _, prefix := range g.prefixes {
		patterns = append(patterns, prefix+"*")
	}
	return "[" + strings.Join(append(patterns, g.leaves...), ", ") + "]"
}

// segment is a level of the capabilities' tree; one without members is a capability.
type segment map[string]segment

// capabilities are all that there are, as upstream names them.
var capabilities = segment{
	"crypto": {"v1": {"is_certificate_trusted": nil}},
	"kubernetes": {
		"can_i": nil, "get_resource": nil, "list_resources_all": nil, "list_resources_by_namespace": nil,
	},
	"net": {"v1": {"dns_lookup_host": nil}},
	"oci": {
		"v1": {"manifest_digest": nil, "oci_manifest": nil, "oci_manifest_config": nil, "verify": nil},
		"v2": {"verify": nil},
	},
}

// checkPattern checks any pattern but "*". Upstream takes "*/*" and "oci/*/*" as well and
// grants nothing for them; here they are refused like any other misplaced wildcard.
func checkPattern(pattern string) error {
	if pattern == "" {
		return errors.New(": pattern must not be empty")
	}
	level := capabilities
	segments := strings.Split(pattern, "/")
	for i, name := range segments {
		last := i == len(segments)-1
		if last && name == "*" {
			return nil
		}
		if strings.Contains(name, "*") {
			return fmt.Errorf(" %q: wildcard '*' must be the entire last path segment (e.g. 'oci/*'), not a partial match", pattern)
		}
		next, known := level[name]
		if !known {
			options := strings.Join(slices.Sorted(maps.Keys(level)), ", ")
			return fmt.Errorf(" %q: unknown segment %q, valid options at this level are: %s", pattern, name, options)
		}
		if next == nil && !last {
			return fmt.Errorf(" %q: %q is a complete capability path, nothing may follow it", pattern, strings.Join(segments[:i+1], "/"))
		}
		level = next
	}
	if level != nil {
		return fmt.Errorf(" %q: not a complete capability path; use %q to allow all capabilities under it", pattern, pattern+"/*")
	}
	return nil
}

// lookup says whether a namespace and an operation in it exist.
func lookup(namespace, operation string) (knownNamespace, knownOperation bool) {
	level, knownNamespace := capabilities[namespace]
	for name := range strings.SplitSeq(operation, "/") {
		next, known := level[name]
		if !known {
			return knownNamespace, false
		}
		level = next
	}
	return knownNamespace, level == nil
}
