package scan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// pass is the work in one namespace, or ("") on the objects that live in none.
type pass struct {
	*run
	place
	// labelsText is textOf the labels.
	labelsText string
	// session is nil when nothing is stored.
	session *report.Session
	// incomplete are kinds that were not listed to the end.
	incomplete map[schema.GroupKind]bool
	unwritten  atomic.Int64
	// desks has room for as many objects as may be audited at once; audited are those of this
	// pass.
	desks   chan struct{}
	audited sync.WaitGroup
	// share of the pass that a kind is, and the end.
	share float64
}

func (r *run) newPass(at place, desks chan struct{}) *pass {
	return &pass{
		run: r, place: at, labelsText: textOf(at.labels), incomplete: map[schema.GroupKind]bool{}, desks: desks,
	}
}

// begin lists everything, and has it audited and reports written. Some of that may be under way
// still in the end.
func (p *pass) begin(ctx context.Context) error {
	if !p.config.DisableStore {
		session, err := p.config.Store.Open(ctx, p.namespace)
		if err != nil {
			return err
		}
		p.session = session
	}
	kinds := p.plan.Cluster()
	if p.namespace != "" {
		selected, unselected := p.plan.Namespace(p.namespace, p.labels)
		kinds = selected
		p.leaveOut(plan.ReasonNamespaceSelector, unselected)
	}
	p.share = 1 / float64(len(kinds)+1)
	var errs []error
	for _, kind := range kinds {
		errs = append(errs, p.kind(ctx, kind))
		p.progress.advance(p.share)
	}
	return errors.Join(errs...)
}

// end waits for what is under way, and deletes the reports that nothing stands behind any more.
// It returns at once; ended waits for it, and must be called.
func (p *pass) end(ctx context.Context) (ended func() error) {
	result := make(chan error, 1)
	go func() {
		p.audited.Wait()
		err := p.finish(ctx)
		if p.session != nil {
			p.session.Close()
		}
		p.progress.advance(p.share)
		result <- err
	}()
	return func() error { return <-result }
}

// finish deletes what is stale, if the whole pass was made.
func (p *pass) finish(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("scan %s: %w", p.place, err)
	}
	if p.session == nil {
		return nil
	}
	unsure := func(kind schema.GroupKind) bool { return p.incomplete[kind] || p.unknownGroups[kind.Group] }
	deleted, err := p.session.Prune(ctx, unsure)
	former, formerErr := p.session.PruneFormer(ctx, unsure)
	err = errors.Join(err, formerErr)
	shortened := p.session.Shortened()
	p.counts.add(func(s *Summary) { s.Deleted, s.Shortened = s.Deleted+deleted+former, s.Shortened+shortened })
	if shortened > 0 {
		p.config.Log.WarnContext(ctx, "reports would be too large and lack something: their annotation says what",
			"namespace", p.namespace, "reports", shortened, "annotation", report.AnnotationLeftOut)
	}
	if n := p.unwritten.Load(); n > 0 {
		return errors.Join(err, fmt.Errorf("%d reports of %s could not be written", n, p.place))
	}
	return err
}

// kind audits the objects of one kind. It is listed here, and its objects are audited at desks,
// some still when the next kind is being listed: most kinds have few objects in a namespace.
// Where policies ask for it in several versions, it is listed in each, and the results about one
// object come together in one report, when all are there.
func (p *pass) kind(ctx context.Context, kind plan.Kind) error {
	if len(kind.Versions) == 1 {
		return p.listed(ctx, kind, p.version(ctx, kind.Versions[0], func(r report.Report) { p.write(ctx, r) }))
	}
	var errs []error
	gathered := gather{reports: map[types.UID]*report.Report{}}
	for _, version := range kind.Versions {
		// One after the other: which version comes first is to be the same in every scan.
		errs = append(errs, p.version(ctx, version, gathered.add))
		p.audited.Wait()
	}
	if err := errors.Join(errs...); err != nil {
		// A report with the results of some versions only would say too little.
		return p.listed(ctx, kind, err)
	}
	for _, r := range gathered.reports {
		p.at(func() { p.write(ctx, *r) })
	}
	return nil
}

// gather brings the results about an object together.
type gather struct {
	mu      sync.Mutex
	reports map[types.UID]*report.Report
}

// add takes the scope of the version that comes first: its reference is the one to show.
func (g *gather) add(r report.Report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if first, known := g.reports[r.Scope.UID]; known {
		first.Results = append(first.Results, r.Results...)
		return
	}
	g.reports[r.Scope.UID] = &r
}

// errNoUID marks objects that are made up when they are asked for, such as metrics.
var errNoUID = errors.New("there is no uid to name a report by")

// listed takes the end of listing a kind. What a user must change, a right or a resource
// that cannot be listed, is no error of the scan.
func (p *pass) listed(ctx context.Context, kind plan.Kind, err error) error {
	if err == nil {
		return nil
	}
	for _, version := range kind.Versions {
		p.incomplete[version.Resource.GVK().GroupKind()] = true
	}
	p.leaveOut(plan.ReasonNotListed, kind.Questions())
	resource := kind.Versions[0].Resource.GVR.GroupResource().String()
	p.counts.add(func(s *Summary) {
		s.Unlisted = append(s.Unlisted, Unlisted{Resource: resource, Namespace: p.namespace, Message: err.Error()})
	})
	p.config.Log.WarnContext(ctx, "a kind cannot be listed: it is not audited, and reports about it stay as they are", "resource", resource, "namespace", p.namespace, "error", err.Error())
	if errors.Is(err, errNoUID) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	return err
}

// version lists the objects of one version of a kind, and has them audited.
func (p *pass) version(ctx context.Context, version plan.Version, done func(report.Report)) error {
	return p.each(ctx, version.Resource, p.namespace, func(object *item) error {
		if object.uid == "" {
			return fmt.Errorf("%s %s: %w", version.Resource.Kind, object.name, errNoUID)
		}
		p.at(func() {
			results := p.judge(ctx, version, object)
			if ctx.Err() == nil {
				done(report.Report{Scope: scope(version, object), Results: results})
			}
		})
		return ctx.Err()
	})
}

// scope refers to the object.
func scope(version plan.Version, object *item) corev1.ObjectReference {
	apiVersion, kind := version.Resource.GVK().ToAPIVersionAndKind()
	return corev1.ObjectReference{
		APIVersion: apiVersion, Kind: kind, Namespace: object.namespace, Name: object.name, UID: object.uid, ResourceVersion: object.resourceVersion,
	}
}

// judge asks every policy that matches the object.
func (p *pass) judge(ctx context.Context, version plan.Version, object *item) []report.Result {
	matcher := p.matcher(version.Resource, object, p.labels)
	var results []report.Result
	var put []plan.Question
	for _, question := range version.Questions {
		decision := matcher.decide(ctx, question)
		switch {
		case decision.err != nil:
			results = append(results, p.result(question, Answer{}, decision.err))
		case decision.why != "":
			p.leaveOut(decision.why, 1)
			if decision.unknown != nil {
				results = append(results, p.skipped(question, decision.unknown))
			}
		default:
			put = append(put, question)
		}
	}
	results = append(results, p.ask(ctx, version, object, put)...)
	p.counts.add(func(s *Summary) {
		s.Objects++
		for _, result := range results {
			s.Results[result.Outcome]++
		}
	})
	return results
}

// leaveOut counts questions that are not put.
func (r *run) leaveOut(why plan.Reason, questions int) {
	if questions > 0 {
		r.counts.add(func(s *Summary) { s.Unasked[why] += questions })
	}
}

// ask puts the object to policies, several at once, as far as their earlier results cannot
// be kept. The operations on it are put in one form each, however many policies are asked.
func (p *pass) ask(ctx context.Context, version plan.Version, object *item, questions []plan.Question) []report.Result {
	results := make([]report.Result, len(questions))
	reviews := map[matching.Operation]Review{}
	earlier := p.earlier(ctx, object)
	asked := map[Asked]int{}
	kept := 0
	var put sheets
	for i, question := range questions {
		whole, made := reviews[question.Operation]
		if !made {
			encoded, err := review(question.Operation, version.Resource, object)
			if err != nil {
				results[i] = p.result(question, Answer{}, err)
				continue
			}
			whole = Review{UID: string(object.uid), Body: encoded, digest: sha256.Sum256(encoded)}
			reviews[question.Operation] = whole
		}
		before, why := p.keep(question, whole, earlier)
		if why == "" {
			results[i] = before
			kept++
			continue
		}
		asked[why]++
		put.add(question, i, whole)
	}
	var work errgroup.Group
	work.SetLimit(p.config.ParallelPolicies)
	for _, sheet := range p.divide(put) {
		work.Go(func() error {
			p.askSheet(ctx, sheet, questions, results)
			return nil
		})
	}
	// No worker returns an error: a verdict that cannot be had is a result.
	_ = work.Wait()
	p.counts.add(func(s *Summary) {
		s.Kept += kept
		for why, questions := range asked {
			s.Asked[why] += questions
		}
	})
	return results
}

func (p *pass) result(question plan.Question, answer Answer, err error) report.Result {
	result := report.Result{Policy: question.Policy, Operation: question.Operation, Outcome: report.OutcomeFail, Message: answer.Message, Time: p.config.Now()}
	switch {
	case err != nil:
		result.Outcome, result.Message = report.OutcomeError, err.Error()
	case answer.Allowed:
		result.Outcome = report.OutcomePass
	}
	return result
}

// skipped is the result of a question that may or may not have to be put. A report without
// it would look as if the policy had nothing to do with the object.
func (p *pass) skipped(question plan.Question, unknown error) report.Result {
	return report.Result{
		Policy: question.Policy, Operation: question.Operation, Outcome: report.OutcomeSkip, Time: p.config.Now(),
		Message: fmt.Sprintf("not asked, since it is not known whether a match condition holds: %v", unknown),
	}
}

// write logs and stores a report, as far as that is wanted.
func (p *pass) write(ctx context.Context, r report.Report) {
	if p.config.OutputScan {
		p.output(ctx, r)
	}
	if p.session == nil {
		return
	}
	written, err := p.session.Write(ctx, r)
	switch {
	case errors.Is(err, report.ErrForeign):
		p.config.Log.WarnContext(ctx, "a report is left alone", "error", err.Error())
	case err != nil && ctx.Err() == nil:
		p.unwritten.Add(1)
		p.config.Log.ErrorContext(ctx, "cannot write a report", "error", err.Error())
	case err == nil:
		p.counts.add(func(s *Summary) { s.Reports[written]++ })
	}
}
