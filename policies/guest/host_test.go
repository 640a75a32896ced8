package guest_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

func TestAsk(t *testing.T) {
	var asked string
	answering := func(answer string, err error) guest.Host {
		return func(namespace, operation string, payload []byte) ([]byte, error) {
			asked = namespace + "/" + operation + " " + string(payload)
			return []byte(answer), err
		}
	}
	for name, tc := range map[string]struct {
		host          guest.Host
		want, wantErr string
	}{
		"an answer":       {answering(`{"ips":["::1"]}`, nil), "::1", ""},
		"a refusal":       {answering("", errors.New("not granted")), "", "ask net/v1/dns_lookup_host: not granted"},
		"what is no JSON": {answering("{", nil), "", "read the answer of net/v1/dns_lookup_host: unexpected end of JSON input"},
		"no host":         {nil, "", "ask net/v1/dns_lookup_host: there is no host"},
	} {
		t.Run(name, func(t *testing.T) {
			asked = ""
			policy := guest.Policy{
				Host: tc.host,
				Validate: func(request guest.Request) (guest.Response, error) {
					answer, err := request.Ask("net", "v1/dns_lookup_host", []byte(`"example.org"`))
					if err != nil {
						return guest.Response{}, err
					}
					ips, err := answer.Texts("ips")
					return guest.Reject(ips[0]), err
				},
			}
			var response guest.Response
			answer, err := policy.Answer("validate", []byte(`{"request":{}}`))
			if err == nil {
				err = json.Unmarshal(answer, &response)
			}
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if response.Message != tc.want || gotErr != tc.wantErr {
				t.Errorf("got %q, %q, want %q, %q", response.Message, gotErr, tc.want, tc.wantErr)
			}
			if tc.host != nil && asked != `net/v1/dns_lookup_host "example.org"` {
				t.Errorf("asked %s", asked)
			}
		})
	}
}
