package audit

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// The figures to hold.
const (
	// maxMemory of the scanner, in millions of bytes.
	maxMemory = 300
	// maxEtcd is what the reports about 1,000 Pods may take in etcd, in bytes.
	maxEtcd = 12e6
	// wantedRate of a first scan on the two processors of the reference machine, in evaluations
	// a second.
	wantedRate = 5000
)

// result is what a run found out.
type result struct {
	Objects  int `json:"objects"`
	Policies int `json:"policies"`
	// Questions are those that match: an object and a policy.
	Questions int `json:"questions"`
	// Changed objects there were before the last scan, and questions about them.
	Changed          int `json:"changed_objects"`
	ChangedQuestions int `json:"changed_questions"`

	// Floor is what requests took without policies, before the first scan and after it.
	Floor      bare    `json:"floor"`
	First      figures `json:"first"`
	Unchanged  figures `json:"unchanged"`
	OnePercent figures `json:"one_percent"`
	Ways       ways    `json:"ways"`
	// EtcdPerThousandPods is the size of the keys and values of reports, of their present
	// revision only.
	EtcdPerThousandPods float64 `json:"etcd_bytes_per_1000_pods"`
}

// figures are those of one scan.
type figures struct {
	Seconds     float64 `json:"seconds"`
	Evaluations int     `json:"evaluations"`
	// Writes of reports.
	Writes int `json:"writes"`
	// RSS is the most memory that the scanner had, in millions of bytes.
	RSS float64 `json:"rss_mb"`
	// Rate is evaluations a second, over the life of the process.
	Rate float64 `json:"evals_per_s"`
	// CPU is what the scan took of processors.
	CPU processors `json:"cpu_seconds"`
	// Results, and the errors and verdicts that allow among them, as the scanner counts.
	Results int `json:"results"`
	Errors  int `json:"errors"`
	Passed  int `json:"passed"`
}

// bare is what requests cost without policies, on this machine at the time of a scan.
type bare struct {
	Requests int64 `json:"requests"`
	// Micros is processor time of client and server for a request, in microseconds.
	Micros float64 `json:"us"`
	// Rate is requests a second.
	Rate float64 `json:"rps"`
}

func bareOf(cost floor.Cost) bare {
	return bare{cost.Requests, float64(cost.Each()) / float64(time.Microsecond), float64(cost.Requests) / cost.Took.Seconds()}
}

// micros is processor time of the scanner and the policy server for an evaluation, in
// microseconds.
func (f figures) micros() float64 {
	return 1e6 * (f.CPU.Scanner + f.CPU.PolicyServer) / float64(f.Evaluations)
}

// fullRate is how many evaluations a second two processors make that have the scanner and the
// policy server to run, and nothing else.
func (f figures) fullRate() float64 { return 2 * 1e6 / f.micros() }

// wanted is wantedRate on a machine on which a request without policies costs so much.
func (b bare) wanted() float64 {
	return wantedRate * float64(floor.Reference) / float64(time.Microsecond) / b.Micros
}

// ways are how fast policies are asked in each of the two ways, in one run, about a sample.
type ways struct {
	Together way `json:"together"`
	Alone    way `json:"alone"`
}

// way is the sum of scans in one way. No report is written.
type way struct {
	Seconds     float64 `json:"seconds"`
	Evaluations int     `json:"evaluations"`
	// PolicyServer and Scanner ran for so long, in seconds of one processor. The scanner is
	// part of the test here.
	PolicyServer float64 `json:"policy_server_cpu_seconds"`
	Scanner      float64 `json:"scanner_cpu_seconds"`
}

func (w way) rate() float64 { return float64(w.Evaluations) / w.Seconds }

// micros is processor time for each evaluation.
func (w way) micros(seconds float64) float64 { return 1e6 * seconds / float64(w.Evaluations) }

// processors are times that processes ran, in seconds of one processor.
type processors struct {
	Scanner      float64 `json:"scanner"`
	PolicyServer float64 `json:"policy_server"`
	APIServer    float64 `json:"api_server"`
}

// check complains about what does not hold.
func (r *result) check() []string {
	var complaints []string
	hold := func(holds bool, format string, arguments ...any) {
		if !holds {
			complaints = append(complaints, fmt.Sprintf(format, arguments...))
		}
	}
	for _, scan := range r.scans() {
		hold(scan.Seconds > 0 && scan.RSS > 0, "%s scan: time and memory are missing: %+v", scan.name, scan.figures)
		hold(scan.Errors == 0, "%s scan: %d results are errors", scan.name, scan.Errors)
		hold(scan.Results == r.Questions, "%s scan: there are %d results of %d questions", scan.name, scan.Results, r.Questions)
		hold(0 < scan.Passed && scan.Passed < scan.Results, "%s scan: %d of %d verdicts allow; both kinds are needed", scan.name, scan.Passed, scan.Results)
		hold(scan.RSS < maxMemory, "%s scan: the scanner had %.0f MB; allowed are less than %d", scan.name, scan.RSS, maxMemory)
	}
	hold(r.Ways.Together.Evaluations > 0 && r.Ways.Together.Evaluations == r.Ways.Alone.Evaluations, "in the sample there were %d evaluations of policies together, and %d one by one", r.Ways.Together.Evaluations, r.Ways.Alone.Evaluations)
	hold(r.First.Evaluations == r.Questions, "first scan: there were %d evaluations of %d questions", r.First.Evaluations, r.Questions)
	hold(r.Floor.Micros > 0 && r.First.micros() > 0 && r.First.fullRate() >= r.Floor.wanted(), "first scan: two processors for the scanner and the policy server make %.0f evaluations/s; wanted are %.0f, where a request without policies takes %.0f us",
		r.First.fullRate(), r.Floor.wanted(), r.Floor.Micros)
	hold(r.First.Writes == r.Objects, "first scan: there were %d writes of %d reports", r.First.Writes, r.Objects)
	hold(r.Unchanged.Evaluations == 0, "unchanged scan: there were %d evaluations; allowed is none", r.Unchanged.Evaluations)
	hold(r.Unchanged.Writes == 0, "unchanged scan: there were %d writes; allowed is none", r.Unchanged.Writes)
	hold(r.OnePercent.Evaluations == r.ChangedQuestions, "one_percent scan: there were %d evaluations, of %d questions about what has changed", r.OnePercent.Evaluations, r.ChangedQuestions)
	hold(r.OnePercent.Writes == r.Changed, "one_percent scan: there were %d writes, of reports about %d objects that have changed", r.OnePercent.Writes, r.Changed)
	hold(0 < r.EtcdPerThousandPods && r.EtcdPerThousandPods <= maxEtcd, "reports about 1,000 Pods take %.0f bytes of etcd; allowed are 1 to %.0f", r.EtcdPerThousandPods, maxEtcd)
	return complaints
}

// named are figures by the name of their scan.
type named struct {
	name string
	figures
}

func (r *result) scans() []named {
	return []named{{"first", r.First}, {"unchanged", r.Unchanged}, {"one_percent", r.OnePercent}}
}

// table shows the result.
func (r *result) table() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, failure := fmt.Fprintln(table, "scan\tseconds\tevaluations\twrites\tscanner's MB\tevaluations/s\tCPU s: scanner\tpolicy server\tAPI server\t")
	for _, scan := range r.scans() {
		_, err := fmt.Fprintf(table, "%s\t%.1f\t%d\t%d\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t\n", scan.name, scan.Seconds, scan.Evaluations, scan.Writes, scan.RSS, scan.Rate,
			scan.CPU.Scanner, scan.CPU.PolicyServer, scan.CPU.APIServer)
		failure = errors.Join(failure, err)
	}
	if err := errors.Join(failure, table.Flush()); err != nil {
		return err.Error()
	}
	fmt.Fprintf(&text, "%d objects, %d policies, %d questions\n", r.Objects, r.Policies, r.Questions)
	fmt.Fprintf(&text, "a request without policies: %.0f us of processors, %.0f/s; %.0f us on the reference machine\n", r.Floor.Micros, r.Floor.Rate, float64(floor.Reference)/float64(time.Microsecond))
	fmt.Fprintf(&text, "an evaluation of the first scan: %.0f us of the scanner and the policy server, %.1f requests without policies\n", r.First.micros(), r.First.micros()/r.Floor.Micros)
	fmt.Fprintf(&text, "two processors for these two make %.0f evaluations/s, %.2f of the %.0f that are wanted here (%d on the reference machine)\n",
		r.First.fullRate(), r.First.fullRate()/r.Floor.wanted(), r.Floor.wanted(), wantedRate)
	fmt.Fprintf(&text, "with the API server and its etcd on the same processors: %.0f evaluations/s, %.2f of those\n", r.First.Rate, r.First.Rate/r.Floor.wanted())
	for _, one := range []struct {
		name string
		way
	}{{"together", r.Ways.Together}, {"one by one", r.Ways.Alone}} {
		fmt.Fprintf(&text, "a sample without reports, policies asked %s: %.0f evaluations/s, each %.0f us of the policy server and %.0f us of the scanner\n",
			one.name, one.rate(), one.micros(one.PolicyServer), one.micros(one.Scanner))
	}
	fmt.Fprintf(&text, "together beside one by one: %.2f of the rate\n", r.Ways.Together.rate()/r.Ways.Alone.rate())
	fmt.Fprintf(&text, "reports about 1,000 Pods take %.1f MB of etcd\n", r.EtcdPerThousandPods/1e6)
	return text.String()
}
