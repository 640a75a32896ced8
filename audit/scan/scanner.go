package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// Config is what a Scanner needs.
type Config struct {
	// Client reads policies, policy servers, Services and namespaces; it must not cache.
	Client client.Client
	// Objects lists what is audited.
	Objects Lister
	// Discovery says what the cluster serves.
	Discovery Discovery
	// Asker asks policy servers.
	Asker *Asker
	// Store keeps the reports. It is needed also when DisableStore is set.
	Store *report.Store
	// DisableStore writes and deletes no report.
	DisableStore bool
	// OutputScan logs every report.
	OutputScan bool
	// Log takes what a user of the scanner should know.
	Log *slog.Logger
	// Now tells the time that results bear.
	Now func() time.Time
	// ProgressEvery is how often it is logged how far a scan is; 0 for never.
	ProgressEvery time.Duration

	// KubewardenNamespace is where the policy servers run. Only policies that want it in, and
	// those in it, are asked about what is there.
	KubewardenNamespace string
	// ExemptNamespaces are those in which no webhook is called.
	ExemptNamespaces []string
	// MatchCondition is the condition, in CEL, that the operator adds to every webhook; "" for
	// none.
	MatchCondition string
	// Version is that of the scanner, and of the policy servers that are released with it. What
	// another version has judged is asked again.
	Version string
	// Operations that are replayed; Create alone when there are none.
	Operations []matching.Operation
	// PolicyServerURL replaces the URL of every policy server; "" for the Services.
	PolicyServerURL string
	// IgnoreNamespaces are left out of a scan of all namespaces, though policies judge what
	// is in them.
	IgnoreNamespaces []string

	// ParallelNamespaces, ParallelResources and ParallelPolicies bound how much is done at
	// once: namespaces that are being listed; objects for each of them, the last ones of the
	// namespace before it included; requests about each of those, of one or several policies.
	ParallelNamespaces, ParallelResources, ParallelPolicies int
	// PageSize is how many objects are listed at once.
	PageSize int64
}

// Target is what to scan. Its zero value is everything.
type Target struct {
	// Namespace limits the scan to one namespace.
	Namespace string
	// ClusterOnly limits the scan to objects that live in no namespace.
	ClusterOnly bool
}

// Scanner scans. Each Run stands for itself.
type Scanner struct {
	config   Config
	compiler *matching.Compiler
	// common is nil when no condition holds for all webhooks.
	common *matching.Matcher
}

// NewScanner makes a Scanner. Bounds below one are an error.
func NewScanner(config Config) (*Scanner, error) {
	for name, bound := range map[string]int64{
		"parallel namespaces": int64(config.ParallelNamespaces),
		"parallel resources":  int64(config.ParallelResources),
		"parallel policies":   int64(config.ParallelPolicies),
		"page size":           config.PageSize,
	} {
		if bound < 1 {
			return nil, fmt.Errorf("%s is %d; allowed is 1 or more", name, bound)
		}
	}
	compiler := matching.NewCompiler()
	common, err := compileCommon(compiler, config.MatchCondition)
	if err != nil {
		return nil, err
	}
	return &Scanner{config: config, compiler: compiler, common: common}, nil
}

// run is one scan on its way.
type run struct {
	*Scanner
	plan    *plan.Plan
	rights  *rights
	servers map[string]endpoint
	// unknownGroups are API groups that did not say what they serve.
	unknownGroups map[string]bool
	counts        counts
	progress      progress
}

// Run scans once. The error joins everything that kept the scan from being complete and
// that a next scan may find cured; what a user must change is in the Summary. Verdicts,
// also those that could not be had, are no errors.
func (s *Scanner) Run(ctx context.Context, target Target) (Summary, error) {
	if err := s.prepareStore(ctx); err != nil {
		return Summary{}, err
	}
	r, err := s.observe(ctx, target)
	if err != nil {
		return Summary{}, err
	}
	stop := r.followProgress(ctx)
	places, err := r.places(ctx, target)
	err = errors.Join(err, r.rounds(ctx, places))
	stop()
	summary := r.counts.summary(r.plan.Skips())
	summary.log(ctx, s.config.Log)
	return summary, err
}

func (s *Scanner) prepareStore(ctx context.Context) error {
	if s.config.DisableStore {
		return nil
	}
	if err := s.config.Store.Check(ctx); err != nil {
		return err
	}
	if err := s.config.Store.FindFormer(ctx); err != nil {
		s.config.Log.WarnContext(ctx, "cannot look for reports of the former kind: those that there are stay", "error", err.Error())
	}
	return nil
}

// observe reads everything that the plan is made of, once for the whole scan.
func (s *Scanner) observe(ctx context.Context, target Target) (*run, error) {
	served, err := discover(ctx, s.config.Discovery)
	if err != nil {
		return nil, err
	}
	policies, err := s.policies(ctx, target)
	if err != nil {
		return nil, err
	}
	s.checkSeverities(ctx, policies)
	r := &run{Scanner: s, rights: newRights(s.config.Client), unknownGroups: map[string]bool{}}
	for version, err := range served.unknown {
		s.config.Log.WarnContext(ctx, "an API group does not say what it serves: it is not audited", "group", version.String(), "error", err.Error())
		r.unknownGroups[version.Group] = true
	}
	r.plan = plan.New(s.compiler, plan.Input{
		Policies: policies, Resources: served.resources, Unknown: served.unknownVersions(), Operations: s.config.Operations,
	})
	s.logSkips(ctx, r.plan.Skips())
	r.servers = s.servers(ctx, r.plan.Policies())
	return r, nil
}

// checkSeverities warns of severities that no report can hold.
func (s *Scanner) checkSeverities(ctx context.Context, policies []plan.Policy) {
	for i := range policies {
		p := &policies[i]
		if p.Severity != "" && !slices.Contains(report.Severities(), p.Severity) {
			s.config.Log.WarnContext(ctx, "a policy names a severity that reports do not know: its results have none",
				"policy", p.ID, "severity", p.Severity, "allowed", strings.Join(report.Severities(), ", "))
		}
	}
}

// logSkips writes one line per policy.
func (s *Scanner) logSkips(ctx context.Context, skips []plan.Skip) {
	for len(skips) > 0 {
		id := skips[0].PolicyID
		end := slices.IndexFunc(skips, func(skip plan.Skip) bool { return skip.PolicyID != id })
		if end < 0 {
			end = len(skips)
		}
		reasons := make([]string, 0, end)
		for _, skip := range skips[:end] {
			reasons = append(reasons, strings.TrimPrefix(skip.String(), id+": "))
		}
		s.config.Log.InfoContext(ctx, "a policy is not audited, or not about everything that its rules match", "policy", id, "reasons", reasons)
		skips = skips[end:]
	}
}
