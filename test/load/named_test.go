package main

import (
	"encoding/json"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

func TestNamedGuestsAreAskedTheSame(t *testing.T) {
	settings := map[string]bool{}
	for number := range 2 * len(guests.All()) {
		of := guests.All()[number%len(guests.All())]
		policy := namedFixture(number)
		if policy.module != of.Name || len(policy.cases) != 2 {
			t.Fatalf("fixture %d is of %s with %d cases; want %s, 2", number, policy.module, len(policy.cases), of.Name)
		}
		text, err := json.Marshal(policy.settings)
		if err != nil || settings[of.Name+string(text)] {
			t.Errorf("fixture %d: %v, settings %s are those of another policy of %s", number, err, text, of.Name)
		}
		settings[of.Name+string(text)] = true
		if policy.cases[0].review == policy.cases[1].review {
			t.Errorf("fixture %d: both requests are the same", number)
		}
		for i, one := range policy.cases {
			checkNamed(t, of, one, i)
		}
	}
}

// checkNamed looks at a request: it is whole, has its UID and its size, and goes where it is
// to go.
func checkNamed(t *testing.T, of guests.Guest, one testCase, number int) {
	t.Helper()
	var decoded struct {
		Request struct {
			UID       string          `json:"uid"`
			User      string          `json:"user"`
			Operation string          `json:"operation"`
			Object    json.RawMessage `json:"object"`
		} `json:"request"`
	}
	body := one.review.body("my-uid")
	if err := json.Unmarshal(body, &decoded); err != nil || decoded.Request.UID != "my-uid" || len(body) < 4500 || len(body) > 5500 {
		t.Fatalf("%s: %v, uid %q, %d bytes", of.Name, err, decoded.Request.UID, len(body))
	}
	if raw := decoded.Request.User != ""; raw != of.Raw() || raw != (one.review.path == contract.PathValidateRaw) {
		t.Errorf("%s: raw %t, sent to %s", of.Name, raw, one.review.path)
	}
	refuses := of.Name != "opa-happy" && of.Name != "c-echo" && of.Name != "as-echo"
	if want := number == 0 || !refuses; one.want.allowed != want {
		t.Errorf("%s: request %d is to be allowed %t, want %t", of.Name, number, one.want.allowed, want)
	}
}
