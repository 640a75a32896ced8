package policyserver

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// Live is where the configuration of a server is that an operator keeps.
type Live struct {
	Client kubernetes.Interface
	// Namespace is that of both ConfigMaps.
	Namespace string
	// ConfigMap holds policies.yml and sources.yml.
	ConfigMap string
	// ReportConfigMap takes the report under the key Replica; "" for no report.
	ReportConfigMap, Replica string
}

// Times of reports: changes within the interval make one.
const (
	reportInterval   = 300 * time.Millisecond
	reportRepeat     = 30 * time.Second
	reportRetryFirst = 500 * time.Millisecond
	reportRetryMost  = 15 * time.Second
)

// liveSource follows the ConfigMap and reports.
type liveSource struct {
	watch    kube.ConfigMapWatch
	reporter *kube.Reporter // nil for none
	apply    func(evaluation.Wanted)
	log      *slog.Logger

	mu      sync.Mutex // what both of the following changes begins with
	demands *demands
	data    map[string]string // of the ConfigMap; nil before it was seen
}

var _ source = (*liveSource)(nil)

func newLiveSource(p *PolicyServer) (*liveSource, error) {
	live := p.config.Live
	s := &liveSource{apply: p.loader.Apply, log: p.config.Logger}
	var err error
	if s.demands, err = newDemands(p); err != nil {
		return nil, err
	}
	s.watch = kube.ConfigMapWatch{
		Client: live.Client, Namespace: live.Namespace, Name: live.ConfigMap, Changed: s.configured, Logger: p.config.Logger,
	}
	if live.ReportConfigMap != "" {
		s.reporter = kube.NewReporter(kube.ReporterConfig{
			Client: live.Client, Namespace: live.Namespace, Name: live.ReportConfigMap, Replica: live.Replica,
			Report: p.report, Interval: reportInterval, Repeat: reportRepeat,
			RetryFirst: reportRetryFirst, RetryMost: reportRetryMost, Logger: p.config.Logger,
		})
	}
	return s, nil
}

func (s *liveSource) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.watch.Run(ctx) })
	if paths := s.demands.paths(); len(paths) > 0 {
		running.Go(func() { server.Watch{Paths: paths, Changed: s.reload, Logger: s.log}.Run(ctx) })
	}
	if s.reporter != nil {
		s.reporter.Changed() // that this process has begun is news
		running.Go(func() { s.reporter.Run(ctx) })
	}
	running.Wait()
}

// reload takes up a verification.yml that changed.
func (s *liveSource) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, err := s.demands.reload()
	if changed && s.data != nil {
		s.configure(s.data)
	}
	return err
}

// configured takes up what the ConfigMap holds.
func (s *liveSource) configured(data map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = data
	s.configure(data)
}

// configure applies what the ConfigMap holds and what signatures are demanded. What cannot
// be understood as a whole is logged, and what was wanted before is served.
func (s *liveSource) configure(data map[string]string) {
	wanted, err := decode([]byte(data[contract.KeyPolicies]), []byte(data[contract.KeySources]))
	if err != nil {
		s.log.Error("ignore changed configuration", "config_map", s.watch.Name, "error", err)
		return
	}
	wanted.Verification = s.demands.verification
	wanted.LastGood = s.lastGood(data[contract.KeyLastGood])
	s.log.Info("configuration changed", "config_map", s.watch.Name, "policies", len(wanted.Policies), "refused", len(wanted.Refused))
	if s.reporter != nil {
		s.reporter.SetLimit(reportLimit(data[contract.KeyReportLimit]))
	}
	s.apply(wanted)
}

// lastGood reads the revisions to fall back on. One that cannot be read is none: what is
// wanted counts without it.
func (s *liveSource) lastGood(text string) map[string]contract.LastGood {
	good, refused, err := contract.DecodeLastGood([]byte(text))
	if err != nil {
		s.log.Warn("ignore last good revisions", "config_map", s.watch.Name, "error", err)
	}
	for id, err := range refused {
		s.log.Warn("ignore last good revision", "config_map", s.watch.Name, "policy_id", id, "error", err)
	}
	return good
}

// reportLimit reads a limit; what is no number counts as none.
func reportLimit(text string) int {
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 0 {
		return 0
	}
	return limit
}

func (s *liveSource) changed() {
	if s.reporter != nil {
		s.reporter.Changed()
	}
}

func (s *liveSource) ready() error {
	if s.reporter == nil {
		return nil
	}
	return s.reporter.Ready()
}
