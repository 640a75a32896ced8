package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

func TestVerdictsAreHeldAgainstSettings(t *testing.T) {
	denial := floor.Answer{Status: 200, Message: "cpu limit 502m is above 500m"}
	for name, tc := range map[string]struct {
		answer floor.Answer
		want   []outcome
		is     bool
	}{
		"as it should be":        {floor.Answer{Status: 200, Allowed: true}, []outcome{allowed}, true},
		"denied wrongly":         {denial, []outcome{allowed}, false},
		"denied rightly":         {denial, []outcome{denied("502m is above 500m")}, true},
		"denied by old settings": {denial, []outcome{denied("502m is above 501m")}, false},
		"one of two":             {denial, []outcome{allowed, denied("502m is above 500m")}, true},
		"allowed wrongly":        {floor.Answer{Status: 200, Allowed: true}, []outcome{denied("")}, false},
		"no such policy":         {floor.Answer{Status: 404, Message: `{"message":"unknown policy: a"}`}, []outcome{notFound}, true},
		"overloaded":             {floor.Answer{Status: 503, Message: "no"}, []outcome{allowed}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isOneOf(tc.answer, tc.want...); got != tc.is {
				t.Errorf("%+v is one of %+v: got %t, want %t", tc.answer, tc.want, got, tc.is)
			}
		})
	}
}

func TestReviewsAreWhole(t *testing.T) {
	for number := range 5 {
		for _, of := range newFixture(number, 0).cases {
			var decoded struct {
				Request struct {
					UID string `json:"uid"`
				} `json:"request"`
			}
			body := of.review.body("my-uid")
			if err := json.Unmarshal(body, &decoded); err != nil || decoded.Request.UID != "my-uid" || len(body) < 4500 || len(body) > 6000 {
				t.Errorf("fixture %d: %v, uid %q, %d bytes", number, err, decoded.Request.UID, len(body))
			}
		}
	}
}

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		arguments []string
		want      string
	}{
		"defaults":                  {nil, ""},
		"a soak":                    {[]string{"--soak", "--duration=3m", "--no-cgroup"}, ""},
		"no policies":               {[]string{"--policies=0"}, "--policies is 0; allowed are 1 to 1000"},
		"too many at the same time": {[]string{"--concurrency=257"}, "--concurrency is 257; allowed are 1 to 256"},
		"backwards":                 {[]string{"--duration=-1s"}, "--duration is -1s"},
		"an argument":               {[]string{"now"}, `argument "now" is not allowed`},
		"no cgroup for a load":      {[]string{"--no-cgroup"}, "--no-cgroup goes with --soak"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.arguments, t.Output())
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
