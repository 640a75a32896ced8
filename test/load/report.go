package main

import (
	"math"
	"strconv"
	"time"
)

// result is what a run says, and what is written to its file.
type result struct {
	// RPS is the rate of the closed loop, the percentiles are of the open one.
	RPS float64 `json:"rps"`
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	// Errors counts requests that failed, wrong verdicts among them, and what else went wrong.
	Errors   int64   `json:"errors"`
	RSS      float64 `json:"rss_mb"`
	Policies int     `json:"policies"`

	Concurrency int                     `json:"concurrency"`
	ReviewBytes int                     `json:"review_bytes"`
	Connections int64                   `json:"connections"`
	Evaluations int64                   `json:"evaluations"`
	Phases      map[string]phaseSummary `json:"phases"`
	Memory      *memorySummary          `json:"memory,omitempty"`
	Changes     map[string]int          `json:"changes,omitempty"`
	Boot        *bootSummary            `json:"boot,omitempty"`
	Figures     []figure                `json:"figures,omitempty"`
	// Problems say what the errors are: the first of each phase, and of the checks at the end.
	Problems []string `json:"problems,omitempty"`
}

// phaseSummary are the figures of one phase.
type phaseSummary struct {
	Seconds  float64          `json:"seconds"`
	Target   float64          `json:"target_rps,omitempty"`
	RPS      float64          `json:"rps"`
	Right    int              `json:"right_answers"`
	Errors   int64            `json:"errors"`
	Statuses map[string]int64 `json:"statuses"`
	P50      float64          `json:"p50_ms"`
	P95      float64          `json:"p95_ms"`
	P99      float64          `json:"p99_ms"`
	P999     float64          `json:"p99_9_ms"`
	Max      float64          `json:"max_ms"`
	// ClientCost and ServerCost are the processor's time of a request, in microseconds.
	ClientCost float64 `json:"client_us,omitempty"`
	ServerCost float64 `json:"server_us,omitempty"`
}

func (p *phase) summary(target float64) phaseSummary {
	return phaseSummary{
		Seconds: rounded(p.took.Seconds()), Target: rounded(target), RPS: rounded(p.rate()), Right: len(p.latencies), Errors: p.errors,
		Statuses: p.byStatus(),
		P50:      milliseconds(percentile(p.latencies, 50)), P95: milliseconds(percentile(p.latencies, 95)),
		P99: milliseconds(percentile(p.latencies, 99)), P999: milliseconds(percentile(p.latencies, 99.9)),
		Max: milliseconds(percentile(p.latencies, 100)),
	}
}

// byStatus counts answers by status.
func (p *phase) byStatus() map[string]int64 {
	counts := map[string]int64{}
	for key, count := range p.answered {
		counts[strconv.Itoa(key.status)] += count
	}
	return counts
}

// verdicts counts answers with a verdict, by policy.
func (p *phase) verdicts() map[string]int64 {
	counts := map[string]int64{}
	for key, count := range p.answered {
		if key.status == 200 {
			counts[key.id] += count
		}
	}
	return counts
}

// add takes a phase into the result.
func (r *result) add(name string, of *phase, target float64) {
	r.Phases[name] = of.summary(target)
	r.Errors += of.errors
	for _, example := range of.examples {
		r.Problems = append(r.Problems, name+": "+example)
	}
}

// spend says what the requests of a phase cost.
func (r *result) spend(name string, of stretch) {
	var count int64
	for _, answers := range of.answered {
		count += answers
	}
	each := func(of time.Duration) float64 { return rounded(float64(of.Microseconds()) / float64(max(count, 1))) }
	summary := r.Phases[name]
	summary.ClientCost, summary.ServerCost = each(of.spent.client), each(of.spent.server)
	r.Phases[name] = summary
}

// fail takes in what went wrong beside the requests.
func (r *result) fail(err error) {
	if err != nil {
		r.Errors++
		r.Problems = append(r.Problems, err.Error())
	}
}

func milliseconds(of time.Duration) float64 { return rounded(float64(of) / float64(time.Millisecond)) }

func megabytes(bytes int64) float64 { return rounded(float64(bytes) / (1 << 20)) }

// rounded keeps three decimals: the rest is noise.
func rounded(value float64) float64 { return math.Round(value*1000) / 1000 }
