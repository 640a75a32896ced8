package guest_test

import (
	"encoding/json"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestAnswersAreOfTheProtocol(t *testing.T) {
	for name, tc := range map[string]struct {
		response guest.Response
		want     string
	}{
		"accepted":              {guest.Accept(), `{"accepted":true}`},
		"refused without words": {guest.Reject(""), `{"accepted":false}`},
		"refused":               {guest.Reject("a \"b\"\n\\ ä\x00\xff<"), `{"accepted":false,"message":"a \"b\"\u000a\\ ä\u0000` + "\ufffd" + `<"}`},
		"changed":               {guest.Mutate([]byte(` {"a": 1.0}`)), `{"accepted":true,"mutated_object": {"a": 1.0}}`},
	} {
		t.Run(name, func(t *testing.T) {
			policy := guest.Policy{Validate: func(guest.Request) (guest.Response, error) { return tc.response, nil }}
			got, err := policy.Answer("validate", []byte(`{"request":{}}`))
			if err != nil || string(got) != tc.want || !json.Valid(got) {
				t.Errorf("got  %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
	policy := guest.Policy{ValidateSettings: func(settings document.Value) error { return settings.Wrong(`"a"`) }}
	got, err := policy.Answer("validate_settings", []byte(`1`))
	if want := `{"valid":false,"message":"got 1, want \"a\""}`; err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if got, err = policy.Answer("validate_settings", []byte(`{`)); err != nil || string(got) != `{"valid":false,"message":"decode settings: unexpected end of JSON input"}` {
		t.Errorf("got  %s, %v", got, err)
	}
}
