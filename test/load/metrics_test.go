package main

import (
	"maps"
	"strings"
	"testing"
)

const someMetrics = `# HELP kubewarden_policy_evaluations_total Verdicts of policies.
# TYPE kubewarden_policy_evaluations_total counter
kubewarden_policy_evaluations_total{accepted="true",policy_name="a"} 3
kubewarden_policy_evaluations_total{accepted="false",policy_name="a"} 4
kubewarden_policy_evaluations_total{accepted="true",policy_name="b"} 1e+06
# TYPE kubewarden_policy_server_connections_opened_total counter
kubewarden_policy_server_connections_opened_total 2
# TYPE kubewarden_policy_server_requests_total counter
kubewarden_policy_server_requests_total{endpoint="validate",status="200"} 1.000007e+06
kubewarden_policy_server_requests_total{endpoint="validate",status="404"} 5
kubewarden_policy_server_requests_total{endpoint="audit",status="404"} 1
`

func TestParseCounters(t *testing.T) {
	got, err := parseCounters(strings.NewReader(someMetrics))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int64{"a": 7, "b": 1_000_000}; !maps.Equal(got.evaluations, want) {
		t.Errorf("evaluations %v, want %v", got.evaluations, want)
	}
	if want := map[string]int64{"200": 1_000_007, "404": 6}; !maps.Equal(got.requests, want) {
		t.Errorf("requests %v, want %v", got.requests, want)
	}
	if got.connections != 2 {
		t.Errorf("%d connections, want 2", got.connections)
	}
	later := got.since(counters{evaluations: map[string]int64{"a": 7}, requests: map[string]int64{"200": 7}, connections: 1})
	if want := map[string]int64{"b": 1_000_000}; !maps.Equal(later.evaluations, want) || later.requests["200"] != 1_000_000 || later.connections != 1 {
		t.Errorf("since: got %+v", later)
	}
}

func TestParseCountersRefusesOtherMetrics(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"metrics of something else": {"# TYPE up gauge\nup 1\n", metricConnections + " is not there"},
		"no metrics":                {"{\"status\":404}\n", "parse metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseCounters(strings.NewReader(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestCrossCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		counted, received map[string]int64
		want              string
	}{
		"equal":                {map[string]int64{"a": 1}, map[string]int64{"a": 1}, ""},
		"nothing":              {nil, nil, ""},
		"one more was counted": {map[string]int64{"a": 2}, map[string]int64{"a": 1}, "evaluations of a: the server counted 2, received were 1"},
		"one was not counted":  {nil, map[string]int64{"a": 1}, "evaluations of a: the server counted 0, received were 1"},
		"one was not received": {map[string]int64{"a": 1}, nil, "evaluations of a: the server counted 1, received were 0"},
		"equal only in their sum": {
			map[string]int64{"a": 1, "b": 2},
			map[string]int64{"a": 2, "b": 1},
			"evaluations of a: the server counted 1, received were 2\nevaluations of b: the server counted 2, received were 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := crossCheck("evaluations", tc.counted, tc.received); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
