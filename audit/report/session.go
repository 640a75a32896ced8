package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Written says what became of a report.
type Written string

// What can become of a report.
const (
	// Created: there was none.
	Created Written = "created"
	// Replaced: there was one, and it said something else.
	Replaced Written = "replaced"
	// Unchanged: there was one, and it says the same.
	Unchanged Written = "unchanged"
	// Gone: the namespace is deleted or about to be, and takes no new reports.
	Gone Written = "gone"
)

// known is what a Session remembers of a report that was there at its start.
type known struct {
	uid             types.UID
	resourceVersion string
	labels          map[string]string
	annotations     map[string]string
	digest          digest
	kind            schema.GroupKind

	// results are those of the report, unless there was no room for them.
	results []remembered
	unheld  bool
}

// Session is the work on the reports of one namespace, or of the cluster, during one scan.
// It is safe for concurrent use.
type Session struct {
	store     *Store
	namespace string

	mu       sync.Mutex
	existing map[string]known
	seen     map[string]bool
	short    map[string]bool
	// unwritten are the names of reports that should have been written and were not.
	unwritten map[string]bool

	// words are texts that many results have; heldBytes is what the results take.
	words     map[string]string
	heldBytes int64
}

// Open starts a session, which must be closed: it lists our reports in the namespace, or
// those of the cluster when it is "".
func (s *Store) Open(ctx context.Context, namespace string) (*Session, error) {
	session := &Session{
		store: s, namespace: namespace,
		existing: map[string]known{}, seen: map[string]bool{}, short: map[string]bool{}, unwritten: map[string]bool{}, words: map[string]string{},
	}
	for token := ""; ; {
		list := s.family.list(namespace)
		if err := s.client.List(ctx, list, client.InNamespace(namespace), ours(), client.Limit(pageSize), client.Continue(token)); err != nil {
			session.Close()
			return nil, fmt.Errorf("list the reports of %s: %w", place(namespace), err)
		}
		if err := apimeta.EachListItem(list, session.remember); err != nil {
			session.Close()
			return nil, err
		}
		if token = list.GetContinue(); token == "" {
			return session, nil
		}
	}
}

func place(namespace string) string {
	if namespace == "" {
		return "the cluster"
	}
	return "namespace " + namespace
}

func (s *Session) remember(object runtime.Object) error {
	report, ok := object.(client.Object)
	if !ok {
		return fmt.Errorf("read a report: %T is not an object of the API", object)
	}
	c, err := s.store.family.read(report)
	if err != nil {
		return err
	}
	k, err := s.store.known(report, c)
	if err != nil {
		return err
	}
	s.hold(&k, c.Results)
	s.existing[report.GetName()] = k
	return nil
}

func (s *Store) known(report client.Object, c content) (known, error) {
	c.LeftOut = report.GetAnnotations()[AnnotationLeftOut]
	d, err := digestOf(metav1.ObjectMeta{Name: report.GetName(), Labels: report.GetLabels(), OwnerReferences: report.GetOwnerReferences()}, c)
	if err != nil {
		return known{}, err
	}
	return known{
		uid:             report.GetUID(),
		resourceVersion: report.GetResourceVersion(),
		labels:          report.GetLabels(),
		annotations:     report.GetAnnotations(),
		digest:          d,
		kind:            kindOf(c.Scope),
	}, nil
}

// Write brings the report of an object to what it should say, and writes only when it says
// something else. The error wraps ErrForeign when the name is taken.
func (s *Session) Write(ctx context.Context, r Report) (Written, error) {
	s.mu.Lock()
	s.seen[r.Name()] = true
	k, exists := s.existing[r.Name()]
	s.mu.Unlock()

	written, err := s.write(ctx, r, k, exists)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
		// Somebody else was there since the session began: look again, once.
		written, err = s.rewrite(ctx, r)
	}
	if namespaceGone(err) {
		return Gone, nil
	}
	if err != nil {
		s.mu.Lock()
		s.unwritten[r.Name()] = true
		s.mu.Unlock()
		return "", fmt.Errorf("write the report of %s %s/%s: %w", r.Scope.Kind, r.Scope.Namespace, r.Scope.Name, err)
	}
	return written, nil
}

func namespaceGone(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

func (s *Session) write(ctx context.Context, r Report, k known, exists bool) (Written, error) {
	wanted, c := s.store.draft(r)
	if c.LeftOut != "" {
		s.shortened(r.Name())
	}
	if !exists {
		return Created, s.store.writer.create(ctx, s.store.family.write(wanted, c))
	}
	d, err := digestOf(wanted, c)
	if err != nil {
		return "", err
	}
	if d == k.digest {
		return Unchanged, nil
	}
	// Labels and annotations of others stay.
	wanted.UID, wanted.ResourceVersion = k.uid, k.resourceVersion
	theirs := maps.Clone(k.annotations)
	delete(theirs, AnnotationLeftOut)
	wanted.Annotations = joined(theirs, wanted.Annotations)
	wanted.Labels = joined(k.labels, wanted.Labels)
	return Replaced, s.store.writer.update(ctx, s.store.family.write(wanted, c))
}

// joined has both; what the second says counts.
func joined(first, second map[string]string) map[string]string {
	both := map[string]string{}
	maps.Copy(both, first)
	maps.Copy(both, second)
	return both
}

func (s *Session) shortened(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short[name] = true
}

func (s *Session) failed(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unwritten[name]
}

// Shortened is how many of the reports that were written, or need not be, lack something
// that would have made them too large; AnnotationLeftOut says what.
func (s *Session) Shortened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.short)
}

func (s *Session) rewrite(ctx context.Context, r Report) (Written, error) {
	current := s.store.family.empty(s.namespace)
	err := s.store.client.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: r.Name()}, current)
	if apierrors.IsNotFound(err) {
		return s.write(ctx, r, known{}, false)
	}
	if err != nil {
		return "", err
	}
	if !isOurs(current) {
		return "", ErrForeign
	}
	c, err := s.store.family.read(current)
	if err != nil {
		return "", err
	}
	k, err := s.store.known(current, c)
	if err != nil {
		return "", err
	}
	return s.write(ctx, r, k, true)
}

// Prune deletes the reports that were there at the start and that no object of this scan
// has: objects that no policy covers any more. Reports about a kind for which keep says
// true stay: that of a kind which could not be listed. It deletes what it saw and nothing
// newer, and says how many.
func (s *Session) Prune(ctx context.Context, keep func(schema.GroupKind) bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted := 0
	var errs []error
	for name, k := range s.existing {
		if s.seen[name] || keep(k.kind) {
			continue
		}
		report := s.store.family.empty(s.namespace)
		report.SetNamespace(s.namespace)
		report.SetName(name)
		report.SetUID(k.uid)
		report.SetResourceVersion(k.resourceVersion)
		was, err := s.store.delete(ctx, report)
		if was {
			deleted++
		}
		errs = append(errs, err)
	}
	return deleted, errors.Join(errs...)
}

// delete deletes a report as it was seen, and nothing newer. It says whether it did: that the
// report is gone, or that somebody wrote it since, is no error.
func (s *Store) delete(ctx context.Context, seen client.Object) (bool, error) {
	uid, resourceVersion := seen.GetUID(), seen.GetResourceVersion()
	err := s.client.Delete(ctx, seen, client.Preconditions{UID: &uid, ResourceVersion: &resourceVersion})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		return false, nil
	default:
		return false, fmt.Errorf("delete report %s of %s: %w", seen.GetName(), place(seen.GetNamespace()), err)
	}
}
