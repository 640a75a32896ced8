package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// cluster answers reviews as a cluster would whose accounts have these rights.
type cluster struct {
	t      *testing.T
	now    time.Time
	rights []string // "list pods"
	broken error
	asked  int
}

func (c *cluster) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	c.asked++
	if c.broken != nil {
		return c.broken
	}
	review, ok := object.(*authorizationv1.SubjectAccessReview)
	if !ok {
		c.t.Fatalf("%T was created", object)
	}
	if want := "system:serviceaccount:kubewarden:reader"; review.Spec.User != want {
		c.t.Errorf("asked about user %s, want %s", review.Spec.User, want)
	}
	wantGroups := []string{"system:serviceaccounts", "system:serviceaccounts:kubewarden", "system:authenticated"}
	if diff := cmp.Diff(wantGroups, review.Spec.Groups); diff != "" {
		c.t.Errorf("unexpected groups (-want +got):\n%s", diff)
	}
	attributes := review.Spec.ResourceAttributes
	if attributes.Namespace != "" {
		c.t.Errorf("asked about namespace %s, want all", attributes.Namespace)
	}
	resource := attributes.Resource
	if attributes.Group != "" {
		resource += "." + attributes.Group
	}
	review.Status.Allowed = slices.Contains(c.rights, attributes.Verb+" "+resource)
	return nil
}

var (
	account = types.NamespacedName{Namespace: "kubewarden", Name: "reader"}
	pod     = policiesv1.ContextAwareResource{APIVersion: "v1", Kind: "Pod"}
	ingress = policiesv1.ContextAwareResource{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}
	widget  = policiesv1.ContextAwareResource{APIVersion: "example.com/v1", Kind: "Widget"}
	review  = policiesv1.ContextAwareResource{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"}

	readPods = []string{"get pods", "list pods", "watch pods"}
)

func newReviewer(t *testing.T, rights ...string) (*Reviewer, *cluster) {
	t.Helper()
	mapper := apimeta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), apimeta.RESTScopeNamespace)
	mapper.Add(networkingv1.SchemeGroupVersion.WithKind("Ingress"), apimeta.RESTScopeNamespace)
	mapper.Add(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), apimeta.RESTScopeRoot)
	c := &cluster{t: t, now: time.Unix(1_700_000_000, 0), rights: rights}
	return NewReviewer(Config{Client: c, Mapper: mapper, Now: func() time.Time { return c.now }}), c
}

func TestReview(t *testing.T) {
	lacksPods := func(verbs ...string) []Lack {
		return []Lack{{Rule: Rule{Resource: "pods", Verbs: []string{"get", "list", "watch"}}, Missing: verbs}}
	}
	tests := map[string]struct {
		rights []string
		kinds  []policiesv1.ContextAwareResource
		want   Finding
	}{
		"it may read all":            {readPods, []policiesv1.ContextAwareResource{pod}, Finding{After: goodFor}},
		"it may read nothing":        {nil, []policiesv1.ContextAwareResource{pod}, Finding{Lacks: lacksPods("get", "list", "watch"), Unsettled: true, After: settling}},
		"it may get and list, alone": {[]string{"get pods", "list pods"}, []policiesv1.ContextAwareResource{pod}, Finding{Lacks: lacksPods("watch"), Unsettled: true, After: settling}},
		"it may read one of two": {readPods, []policiesv1.ContextAwareResource{ingress, pod}, Finding{
			Lacks: []Lack{{
				Rule:    Rule{Group: "networking.k8s.io", Resource: "ingresses", Verbs: []string{"get", "list", "watch"}},
				Missing: []string{"get", "list", "watch"},
			}},
			Unsettled: true, After: settling,
		}},
		"nobody has heard of a kind": {readPods, []policiesv1.ContextAwareResource{widget, pod}, Finding{
			Unserved: []policiesv1.ContextAwareResource{widget}, Unsettled: true, After: settling,
		}},
		"reviews are made, not read": {[]string{"create subjectaccessreviews.authorization.k8s.io"}, []policiesv1.ContextAwareResource{review}, Finding{After: goodFor}},
		"it may make no reviews": {nil, []policiesv1.ContextAwareResource{review}, Finding{
			Lacks: []Lack{{
				Rule:    Rule{Group: "authorization.k8s.io", Resource: "subjectaccessreviews", Verbs: []string{"create"}},
				Missing: []string{"create"},
			}},
			Unsettled: true, After: settling,
		}},
		"a version that is none": {nil, []policiesv1.ContextAwareResource{{APIVersion: "a/b/c", Kind: "Pod"}}, Finding{
			Unserved: []policiesv1.ContextAwareResource{{APIVersion: "a/b/c", Kind: "Pod"}}, Unsettled: true, After: settling,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			reviewer, _ := newReviewer(t, tc.rights...)
			if diff := cmp.Diff(tc.want, reviewer.Review(t.Context(), account, tc.kinds)); diff != "" {
				t.Errorf("unexpected finding (-want +got):\n%s", diff)
			}
		})
	}
}

// step is a moment in the life of an answer.
type step struct {
	// after is the time since the step before; rights and broken are of the cluster then.
	after  time.Duration
	rights []string
	broken error
	// asked is how many questions reach the API server.
	asked int
	want  string
}

func TestAnswersAreBelievedForAWhile(t *testing.T) {
	silent := errors.New("no answer")
	const (
		reads     = "reads"
		lacks     = "lacks 3"
		unsettled = "lacks 3, since a moment"
		failed    = "failed"
	)
	for name, steps := range map[string][]step{
		"a right": {
			{0, readPods, nil, 3, reads},
			{goodFor - time.Second, nil, nil, 0, reads},
			{time.Second, nil, nil, 3, unsettled},
		},
		"a lack settles, and is soon noticed to be gone": {
			{0, nil, nil, 3, unsettled},
			{time.Second, nil, nil, 0, unsettled},
			{settling - time.Second, nil, nil, 3, lacks},
			{badFor - time.Second, readPods, nil, 0, lacks},
			{time.Second, readPods, nil, 3, reads},
		},
		"a binding that was a moment late": {
			{0, nil, nil, 3, unsettled},
			{settling, readPods, nil, 3, reads},
		},
		"a right that comes and goes has to settle anew": {
			{0, nil, nil, 3, unsettled},
			{settling, nil, nil, 3, lacks},
			{badFor, readPods, nil, 3, reads},
			{goodFor, nil, nil, 3, unsettled},
		},
		"no answer": {
			{0, nil, silent, 1, failed},
			{badFor - time.Second, readPods, nil, 0, failed},
			{time.Second, readPods, nil, 3, reads},
		},
		"no answer, after one that was good": {
			{0, readPods, nil, 3, reads},
			{goodFor, nil, silent, 1, reads},
			{badFor - time.Second, nil, nil, 0, reads},
			{time.Second, nil, nil, 3, unsettled},
		},
		"no answer, after one that was bad": {
			{0, nil, nil, 3, unsettled},
			{settling, nil, nil, 3, lacks},
			{badFor, nil, silent, 1, lacks},
			{badFor, nil, nil, 3, lacks},
		},
	} {
		t.Run(name, func(t *testing.T) {
			reviewer, cluster := newReviewer(t)
			for i, step := range steps {
				cluster.now = cluster.now.Add(step.after)
				cluster.rights, cluster.broken, cluster.asked = step.rights, step.broken, 0
				finding := reviewer.Review(t.Context(), account, []policiesv1.ContextAwareResource{pod})
				if got := words(finding); got != step.want {
					t.Errorf("step %d: got %q, want %q", i, got, step.want)
				}
				if cluster.asked != step.asked {
					t.Errorf("step %d: %d questions, want %d", i, cluster.asked, step.asked)
				}
				if finding.After <= 0 || finding.After > goodFor {
					t.Errorf("step %d: ask again after %s", i, finding.After)
				}
			}
		})
	}
}

func words(finding Finding) string {
	switch {
	case finding.Failed != nil:
		return "failed"
	case len(finding.Lacks) == 0:
		return "reads"
	case finding.Unsettled:
		return fmt.Sprintf("lacks %d, since a moment", len(finding.Lacks[0].Missing))
	default:
		return fmt.Sprintf("lacks %d", len(finding.Lacks[0].Missing))
	}
}

func TestWhatIsAskedAboutOnePolicyIsBounded(t *testing.T) {
	reviewer, cluster := newReviewer(t, readPods...)
	kinds := slices.Repeat([]policiesv1.ContextAwareResource{pod}, maxKinds)
	if finding := reviewer.Review(t.Context(), account, kinds); finding.Failed != nil || cluster.asked != 3 {
		t.Errorf("got error %v after %d questions, want none after 3", finding.Failed, cluster.asked)
	}
	finding := reviewer.Review(t.Context(), account, append(kinds, ingress))
	if finding.Failed == nil || len(finding.Lacks) > 0 {
		t.Errorf("got error %v and lacks %v, want to be told that not all was looked at", finding.Failed, finding.Lacks)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	reviewer, cluster := newReviewer(t)
	for i := range 3 * maxAnswers {
		kind := policiesv1.ContextAwareResource{APIVersion: "example.com/v1", Kind: fmt.Sprintf("Widget%d", i)}
		reviewer.Review(t.Context(), account, []policiesv1.ContextAwareResource{kind})
		cluster.now = cluster.now.Add(time.Millisecond)
	}
	if got := len(reviewer.answers); got > maxAnswers {
		t.Errorf("%d answers are remembered, want at most %d", got, maxAnswers)
	}
}
