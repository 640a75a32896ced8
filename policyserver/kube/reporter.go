package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// ReporterConfig is what a Reporter is made from. Every field is needed.
type ReporterConfig struct {
	Client kubernetes.Interface
	// Namespace and Name are those of the ConfigMap, Replica is our key in it: the name
	// of the Pod.
	Namespace, Name, Replica string
	// Report is what there is to report now.
	Report func() contract.Report
	// Interval is the least time between two reports: changes that come close together
	// make one.
	Interval time.Duration
	// Repeat is how often the report is applied again without any news. The API server writes
	// nothing then, unless somebody has taken the report away or changed it.
	Repeat time.Duration
	// RetryFirst and RetryMost are the shortest and the longest wait after a failure.
	RetryFirst, RetryMost time.Duration
	Logger                *slog.Logger
}

// Reporter writes a replica's report when there is something new to say, and when what it
// said is not there any more; never otherwise. It needs the right to patch the one ConfigMap, which must be there: where it
// is not, the API server takes the patch for a creation and refuses it, and the reporter
// tries again until the operator has made it.
type Reporter struct {
	config  ReporterConfig
	changes chan struct{}
	limit   atomic.Int64
	written atomic.Bool
}

// NewReporter makes a reporter. It does nothing before Run.
func NewReporter(config ReporterConfig) *Reporter {
	return &Reporter{config: config, changes: make(chan struct{}, 1)}
}

// Changed says that there may be something new to report. It does not wait.
func (r *Reporter) Changed() {
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

// SetLimit bounds the size of a report, in bytes; 0 means contract.MaxReportBytes.
func (r *Reporter) SetLimit(limit int) {
	if r.limit.Swap(int64(limit)) != int64(limit) {
		r.Changed()
	}
}

// Ready is an error until a first report has been written: who reads the reports must
// not take this process for the one that had its name before.
func (r *Reporter) Ready() error {
	if r.written.Load() {
		return nil
	}
	return errors.New("no report has been written yet")
}

// reportTimeout bounds one attempt to write.
const reportTimeout = 10 * time.Second

// Run reports until ctx is done.
func (r *Reporter) Run(ctx context.Context) {
	var last payload
	wait := r.config.RetryFirst
	repeat := time.NewTicker(r.config.Repeat)
	defer repeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changes:
		case <-repeat.C:
			last = payload{} // whether it still stands is for the API server to say
		}
		next, err := r.encode()
		if err == nil && r.written.Load() && next.equal(last) {
			continue
		}
		if err == nil {
			err = r.write(ctx, next)
		}
		if err == nil {
			last, wait = next, r.config.RetryFirst
			r.written.Store(true)
			if !pause(ctx, r.config.Interval) {
				return
			}
			continue
		}
		r.config.Logger.WarnContext(ctx, "write replica report; will retry", "config_map", r.config.Name, "replica", r.config.Replica, "error", err, "wait", wait)
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, r.config.RetryMost)
		r.Changed()
	}
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// payload is an encoded report.
type payload struct {
	data       []byte
	compressed bool
}

func (p payload) equal(other payload) bool {
	return p.compressed == other.compressed && bytes.Equal(p.data, other.data)
}

func (r *Reporter) encode() (payload, error) {
	data, compressed, err := contract.EncodeReport(r.config.Report(), int(r.limit.Load()))
	return payload{data, compressed}, err
}

// write server-side-applies our key: as its only owner, whatever else the ConfigMap
// holds, and without a resource version, so that replicas never wait for each other.
func (r *Reporter) write(ctx context.Context, report payload) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	desired := applycorev1.ConfigMap(r.config.Name, r.config.Namespace)
	if report.compressed {
		desired.WithBinaryData(map[string][]byte{r.config.Replica: report.data})
	} else {
		desired.WithData(map[string]string{r.config.Replica: string(report.data)})
	}
	_, err := r.config.Client.CoreV1().ConfigMaps(r.config.Namespace).Apply(ctx, desired,
		metav1.ApplyOptions{FieldManager: r.config.Replica, Force: true})
	if err != nil {
		return fmt.Errorf("apply ConfigMap %s/%s: %w", r.config.Namespace, r.config.Name, err)
	}
	return nil
}
