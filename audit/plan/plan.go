package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// Plan is what a scan has to do.
type Plan struct {
	kinds []Kind
	skips []Skip
}

// Kind is a kind of objects to list, in each version that some policy is asked in. Mostly
// that is one.
type Kind struct {
	// Namespaced says that the objects live in namespaces.
	Namespaced bool
	// Versions in the order of discovery.
	Versions []Version
}

// Version is one version of a kind to list, with what to ask about its objects.
type Version struct {
	Resource  matching.Resource
	Questions []Question
}

// Question is a policy to ask, what is done to the objects that it is asked about, and the
// matcher that says about which.
type Question struct {
	Policy    *Policy
	Operation matching.Operation
	Matcher   *matching.Matcher
}

// New makes a plan. The order of its parts follows from the input alone: kinds and versions
// as in discovery, questions by policy ID, and of one policy in the order of the operations.
func New(compiler *matching.Compiler, in Input) *Plan {
	policies := slices.SortedFunc(slices.Values(in.Policies), func(a, b Policy) int { return cmp.Compare(a.ID, b.ID) })
	builder := newBuilder(in)
	for i := range policies {
		builder.add(compiler, &policies[i])
	}
	return builder.plan()
}

// Skips is everything that is left out, by policy ID.
func (p *Plan) Skips() []Skip { return p.skips }

// Policies lists each policy that is asked about something, by ID.
func (p *Plan) Policies() []*Policy {
	byID := map[string]*Policy{}
	for _, kind := range p.kinds {
		for _, version := range kind.Versions {
			for _, question := range version.Questions {
				byID[question.Policy.ID] = question.Policy
			}
		}
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b *Policy) int { return cmp.Compare(a.ID, b.ID) })
}

// Cluster is what to list and ask of the objects that live in no namespace.
func (p *Plan) Cluster() []Kind {
	return p.restrict(func(kind Kind, _ Question) bool { return !kind.Namespaced })
}

// Namespace is what to list and ask in one namespace with these labels. Besides it says how
// many questions, each about all objects of one kind, the namespace selectors leave out. A
// policy of another namespace has none here.
func (p *Plan) Namespace(name string, labels map[string]string) (kinds []Kind, unselected int) {
	kinds = p.restrict(func(kind Kind, question Question) bool {
		own := question.Policy.Namespace
		if !kind.Namespaced || own != "" && own != name {
			return false
		}
		selected := question.Matcher.SelectsNamespace(labels)
		if !selected {
			unselected++
		}
		return selected
	})
	return kinds, unselected
}

// Questions is how many there are about the objects of the kind, each about all of them.
func (k Kind) Questions() int {
	questions := 0
	for _, version := range k.Versions {
		questions += len(version.Questions)
	}
	return questions
}

// restrict keeps the questions that are wanted, and the kinds that have some.
func (p *Plan) restrict(wanted func(Kind, Question) bool) []Kind {
	var kinds []Kind
	for _, kind := range p.kinds {
		kept := Kind{Namespaced: kind.Namespaced}
		for _, version := range kind.Versions {
			var questions []Question
			for _, question := range version.Questions {
				if wanted(kind, question) {
					questions = append(questions, question)
				}
			}
			if len(questions) > 0 {
				kept.Versions = append(kept.Versions, Version{Resource: version.Resource, Questions: questions})
			}
		}
		if len(kept.Versions) > 0 {
			kinds = append(kinds, kept)
		}
	}
	return kinds
}
