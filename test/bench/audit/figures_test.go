package audit

import (
	"slices"
	"strings"
	"testing"
)

// good is a result of which all holds, on a machine of half the reference's speed.
func good() *result {
	scan := func(evaluations, writes int) figures {
		return figures{Seconds: 10, Evaluations: evaluations, Writes: writes, RSS: 80, Results: 12_000, Passed: 6_000, Rate: float64(evaluations) / 10}
	}
	r := &result{
		Objects: 1000, Policies: 20, Questions: 12_000, Changed: 10, ChangedQuestions: 120, EtcdPerThousandPods: 11e6,
		Floor: bare{Requests: 50_000, Micros: 174, Rate: 11_000},
		First: scan(12_000, 1000), Unchanged: scan(0, 0), OnePercent: scan(120, 10),
		Ways: ways{Together: way{Seconds: 1, Evaluations: 4800}, Alone: way{Seconds: 1, Evaluations: 4800}},
	}
	// 790 us for each evaluation, where 800 are allowed.
	r.First.CPU = processors{Scanner: 1.48, PolicyServer: 8, APIServer: 100}
	return r
}

func TestWhatDoesNotHoldIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*result)
		want   []string
	}{
		"all holds":                      {change: func(*result) {}},
		"the API server's time is told":  {change: func(r *result) { r.First.CPU.APIServer = 1000 }},
		"a busy machine":                 {change: func(r *result) { r.First.Seconds, r.First.Rate = 100, 120 }},
		"a slower policy server":         {change: func(r *result) { r.First.CPU.PolicyServer = 8.2 }, want: []string{"first scan: two processors for the scanner and the policy server make 2479 evaluations/s; wanted are 2500, where a request without policies takes 174 us"}},
		"a slower scanner":               {change: func(r *result) { r.First.CPU.Scanner = 1.7 }, want: []string{"make 2474 evaluations/s; wanted are 2500"}},
		"not faster on a faster machine": {change: func(r *result) { r.Floor.Micros = 170 }, want: []string{"make 2532 evaluations/s; wanted are 2559"}},
		"the floor was not measured":     {change: func(r *result) { r.Floor = bare{} }, want: []string{"wanted are +Inf"}},
		"no time was measured":           {change: func(r *result) { r.First.CPU = processors{} }, want: []string{"make +Inf evaluations/s"}},
		"the scan took no time":          {change: func(r *result) { r.First.Seconds = 0 }, want: []string{"first scan: time and memory are missing"}},
		"too much memory":                {change: func(r *result) { r.OnePercent.RSS = 300 }, want: []string{"one_percent scan: the scanner had 300 MB; allowed are less than 300"}},
		"an error":                       {change: func(r *result) { r.First.Errors = 1 }, want: []string{"first scan: 1 results are errors"}},
		"a question was not answered":    {change: func(r *result) { r.Unchanged.Results-- }, want: []string{"unchanged scan: there are 11999 results of 12000 questions"}},
		"everything is denied":           {change: func(r *result) { r.First.Passed = 0 }, want: []string{"first scan: 0 of 12000 verdicts allow; both kinds are needed"}},
		"the ways differ":                {change: func(r *result) { r.Ways.Alone.Evaluations-- }, want: []string{"in the sample there were 4800 evaluations of policies together, and 4799 one by one"}},
		"an evaluation too many":         {change: func(r *result) { r.First.Evaluations++ }, want: []string{"first scan: there were 12001 evaluations of 12000 questions"}},
		"a report was not written":       {change: func(r *result) { r.First.Writes-- }, want: []string{"first scan: there were 999 writes of 1000 reports"}},
		"asked although unchanged":       {change: func(r *result) { r.Unchanged.Evaluations = 1 }, want: []string{"unchanged scan: there were 1 evaluations; allowed is none"}},
		"written although unchanged":     {change: func(r *result) { r.Unchanged.Writes = 1 }, want: []string{"unchanged scan: there were 1 writes; allowed is none"}},
		"asked about what is the same":   {change: func(r *result) { r.OnePercent.Evaluations++ }, want: []string{"one_percent scan: there were 121 evaluations, of 120 questions about what has changed"}},
		"written what is the same":       {change: func(r *result) { r.OnePercent.Writes++ }, want: []string{"one_percent scan: there were 11 writes, of reports about 10 objects that have changed"}},
		"too much of etcd":               {change: func(r *result) { r.EtcdPerThousandPods = 12.1e6 }, want: []string{"reports about 1,000 Pods take 12100000 bytes of etcd"}},
		"nothing in etcd":                {change: func(r *result) { r.EtcdPerThousandPods = 0 }, want: []string{"reports about 1,000 Pods take 0 bytes of etcd"}},
	} {
		t.Run(name, func(t *testing.T) {
			measured := good()
			tc.change(measured)
			got := measured.check()
			if !slices.EqualFunc(got, tc.want, strings.Contains) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestTheTableTellsTheRateBesideTheFloor(t *testing.T) {
	table := good().table()
	for _, want := range []string{
		"a request without policies: 174 us of processors, 11000/s; 87 us on the reference machine\n",
		"an evaluation of the first scan: 790 us of the scanner and the policy server, 4.5 requests without policies\n",
		"two processors for these two make 2532 evaluations/s, 1.01 of the 2500 that are wanted here (5000 on the reference machine)\n",
		"with the API server and its etcd on the same processors: 1200 evaluations/s, 0.48 of those\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("there is no %q in:\n%s", want, table)
		}
	}
}
