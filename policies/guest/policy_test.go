package guest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestAnswer(t *testing.T) {
	var asked guest.Request
	policy := guest.Policy{
		Validate: func(request guest.Request) (guest.Response, error) {
			asked = request
			if request.Operation == "CONNECT" {
				return guest.Response{}, errors.New("no idea")
			}
			if !request.Object.Exists() {
				return guest.Accept(), nil
			}
			return guest.Reject("not that"), nil
		},
		ValidateSettings: func(settings document.Value) error {
			if settings.JSON() == `{}` {
				return nil
			}
			return errors.New("name: missing")
		},
	}
	tests := map[string]struct {
		operation string
		payload   string
		want      string
		wantErr   string
	}{
		"rejected":             {"validate", `{"request":{"object":{}},"settings":{}}`, `{"accepted":false,"message":"not that"}`, ""},
		"accepted":             {"validate", `{"request":{"object":null},"settings":{}}`, `{"accepted":true}`, ""},
		"failing":              {"validate", `{"request":{"operation":"CONNECT"}}`, "", "no idea"},
		"not JSON":             {"validate", `{`, "", "decode validation request: unexpected end of JSON input"},
		"nothing":              {"validate", ``, "", "decode validation request: unexpected end of JSON input"},
		"no object":            {"validate", `[]`, "", "decode validation request: got [], want an object"},
		"a broken request":     {"validate", `{"request":{"object":{"a":1}`, "", "decode validation request: unexpected end of JSON input"},
		"a broken object":      {"validate", `{"request":{"object":{"a":[1]`, "", "decode validation request: unexpected end of JSON input"},
		"broken settings":      {"validate", `{"request":{},"settings":["a"`, "", "decode validation request: unexpected end of JSON input"},
		"a broken text":        {"validate", `{"request":{"operation":"CRE`, "", "decode validation request: unexpected end of JSON input"},
		"broken in between":    {"validate", `{"request":{"object":{"a":1},"operation":"CRE}}`, "", "decode validation request: unexpected end of JSON input"},
		"an escape at the end": {"validate", `{"request":{"operation":"\\"}}`, `{"accepted":true}`, ""},
		"an escaped quote":     {"validate", `{"request":{"operation":"a\"}}`, "", "decode validation request: unexpected end of JSON input"},
		"brackets in a text":   {"validate", `{"request":{"operation":"\"{["}}`, `{"accepted":true}`, ""},
		"valid settings":       {"validate_settings", `{}`, `{"valid":true}`, ""},
		"invalid settings":     {"validate_settings", `[]`, `{"valid":false,"message":"name: missing"}`, ""},
		"protocol version":     {"protocol_version", ``, `"v1"`, ""},
		"unknown operation":    {"mutate", ``, "", `unknown operation "mutate"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := policy.Answer(tc.operation, []byte(tc.payload))
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if string(got) != tc.want || gotErr != tc.wantErr {
				t.Errorf("got  %s, %q\nwant %s, %q", got, gotErr, tc.want, tc.wantErr)
			}
		})
	}

	_, err := policy.Answer("validate", []byte(`{"request":{"kind":{"group":"apps","version":"v1","kind":"Deployment"},`+
		`"operation":"UPDATE","object":{"n":1.0}},"settings":{"a":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{asked.Document.JSON(), asked.Kind.Group, asked.Kind.Version, asked.Kind.Kind, asked.Operation, asked.Object.JSON(), asked.Settings.JSON()}
	want := []string{
		`{"kind":{"group":"apps","version":"v1","kind":"Deployment"},"operation":"UPDATE","object":{"n":1.0}}`,
		"apps", "v1", "Deployment", "UPDATE", `{"n":1.0}`, `{"a":2}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestWhatIsNoAdmissionRequestIsNamed(t *testing.T) {
	tests := map[string]struct{ payload, wantErr string }{
		"nothing":               {``, "unexpected end of JSON input"},
		"a list":                {`[]`, "got [], want an object"},
		"no request":            {`{"settings":{}}`, "request: got nothing, want an object"},
		"a request that is one": {`{"request":[1]}`, "request: got [1], want an object"},
		"a kind that is text":   {`{"request":{"kind":"Pod"}}`, `kind: got "Pod", want an object`},
		"a group that is none":  {`{"request":{"kind":{"group":1}}}`, "kind: group: got 1, want a string"},
		"no operation":          {`{"request":{"operation":{}}}`, "operation: got {}, want a string"},
		"too long to show":      {`{"request":["` + strings.Repeat("ä", 100) + `"]}`, `request: got ["` + strings.Repeat("ä", 19) + "..., want an object"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := guest.Policy{}.Answer("validate", []byte(tc.payload))
			if err == nil || err.Error() != "decode validation request: "+tc.wantErr {
				t.Errorf("got  %v\nwant decode validation request: %s", err, tc.wantErr)
			}
		})
	}
}

func TestPrepareAsksWhatAPolicyUsesAndForgetsTheAnswer(t *testing.T) {
	var asked []string
	policy := guest.Policy{
		Validate: func(request guest.Request) (guest.Response, error) {
			containers := 0
			if err := request.EachContainer(func(string, document.Value) error { containers++; return nil }); err != nil || containers == 0 {
				t.Errorf("got %d containers, %v: nothing for a policy about containers", containers, err)
			}
			asked = append(asked, "validate "+request.Settings.JSON())
			return guest.Response{}, errors.New("no idea")
		},
		ValidateSettings: func(settings document.Value) error {
			asked = append(asked, "validate_settings "+settings.JSON())
			return errors.New("not like that")
		},
		Example: guest.Example{Settings: `{"pattern":"^a"}`},
	}
	policy.Prepare()
	want := []string{"validate {}", "validate_settings {}", `validate {"pattern":"^a"}`, `validate_settings {"pattern":"^a"}`}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPrepareAsksAboutTheRequestOfAnExample(t *testing.T) {
	const own = `{"user":"a"}`
	var asked []string
	policy := guest.Policy{
		Raw: true,
		Validate: func(request guest.Request) (guest.Response, error) {
			asked = append(asked, request.Document.JSON())
			return guest.Accept(), nil
		},
		ValidateSettings: func(document.Value) error { return nil },
		Example:          guest.Example{Request: own},
	}
	policy.Prepare()
	if got := slices.Compact(asked); len(got) != 2 || got[1] != own {
		t.Errorf("asked about %q, want a Pod and %s", got, own)
	}
}

// What a prepared policy answers with, and reads into, is the same memory for each question.
func TestPreparedPolicyAnswersOneQuestionAfterTheOther(t *testing.T) {
	policy := guest.Policy{
		Validate: func(request guest.Request) (guest.Response, error) {
			name, err := request.Object.Text("name")
			if err != nil || name == "" {
				return guest.Reject("no name"), err
			}
			var edits document.Edits
			err = edits.Set(request.Object, "1", name)
			return request.Mutate(edits), err
		},
		ValidateSettings: func(document.Value) error { return nil },
	}.Prepare()
	for _, name := range []string{strings.Repeat("a", 100_000), "b", "", strings.Repeat("c", 1000), "d"} {
		got, err := policy.Answer("validate", fmt.Appendf(nil, `{"request":{"object":{"name":%q,"list":%s1%s}}}`, name, strings.Repeat("[", len(name)), strings.Repeat("]", len(name))))
		want := `{"accepted":false,"message":"no name"}`
		if name != "" {
			want = fmt.Sprintf(`{"accepted":true,"mutated_object":{"name":%q,"list":%s1%s,%q:1}}`, name, strings.Repeat("[", len(name)), strings.Repeat("]", len(name)), name)
		}
		if err != nil || string(got) != want {
			t.Errorf("%d letters: got %.100s, %v", len(name), got, err)
		}
	}
}
