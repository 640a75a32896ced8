package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDecodeAnswer(t *testing.T) {
	const denial = `{"response":{"uid":"1","allowed":false,"status":{"message":"cpu limit 502m is above 500m"}}}`
	for name, tc := range map[string]struct {
		status  int
		body    string
		want    outcome
		is      bool
		wantErr string
	}{
		"as it should be":        {200, `{"response":{"uid":"1","allowed":true}}`, allowed, true, ""},
		"denied wrongly":         {200, denial, allowed, false, ""},
		"denied rightly":         {200, denial, denied("502m is above 500m"), true, ""},
		"denied by old settings": {200, denial, denied("502m is above 501m"), false, ""},
		"allowed wrongly":        {200, `{"response":{"uid":"1","allowed":true}}`, denied(""), false, ""},
		"no such policy":         {404, `{"message":"unknown policy: a"}`, notFound, true, ""},
		"overloaded":             {503, "no", allowed, false, ""},
		"somebody else's":        {200, `{"response":{"uid":"2","allowed":true}}`, allowed, false, `uid "2", want "1"`},
		"no JSON":                {200, "hello", allowed, false, "decode answer"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeAnswer(tc.status, "1", []byte(tc.body))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %v, want an error with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || got.is(tc.want) != tc.is {
				t.Errorf("%+v, %v is %+v: got %t, want %t", got, err, tc.want, !tc.is, tc.is)
			}
		})
	}
}

func TestNothingElseIsDialled(t *testing.T) {
	for _, address := range []string{"192.0.2.1:443", "localhost:443", "127.0.0.2:443", "[::1]:443"} {
		connection, err := dialLoopback(t.Context(), "tcp", address)
		if err == nil {
			connection.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "only 127.0.0.1 is allowed") {
			t.Errorf("%s: got %v, want a refusal", address, err)
		}
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
