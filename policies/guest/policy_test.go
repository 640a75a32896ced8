package guest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

func TestAnswer(t *testing.T) {
	var asked guest.Request
	policy := guest.Policy{
		Validate: func(request guest.Request) (guest.Response, error) {
			asked = request
			if request.Operation == "CONNECT" {
				return guest.Response{}, errors.New("no idea")
			}
			if request.Object == nil {
				return guest.Accept(), nil
			}
			return guest.Reject("not that"), nil
		},
		ValidateSettings: func(settings json.RawMessage) error {
			if string(settings) == `{}` {
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
	want := guest.Request{
		Document:  json.RawMessage(`{"kind":{"group":"apps","version":"v1","kind":"Deployment"},"operation":"UPDATE","object":{"n":1.0}}`),
		Kind:      guest.Kind{Group: "apps", Version: "v1", Kind: "Deployment"},
		Operation: "UPDATE",
		Object:    json.RawMessage(`{"n":1.0}`),
		Settings:  json.RawMessage(`{"a":2}`),
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestDecodeSettings(t *testing.T) {
	type settings struct {
		Flag bool              `json:"flag"`
		List []string          `json:"list"`
		Map  map[string]string `json:"map"`
	}
	tests := map[string]struct {
		settings string
		want     settings
		wantErr  string
	}{
		"nothing":              {settings: ``},
		"null":                 {settings: ` null `},
		"everything":           {settings: `{"flag":true,"list":["a"],"map":{"b":"c"}}`, want: settings{true, []string{"a"}, map[string]string{"b": "c"}}},
		"an unknown name":      {settings: `{"flags":true}`, wantErr: `unknown setting "flags", allowed are: flag, list, map`},
		"a name in other case": {settings: `{"Flag":true}`, wantErr: `unknown setting "Flag", allowed are: flag, list, map`},
		"a string for a flag":  {settings: `{"flag":"yes"}`, wantErr: `setting "flag": got a JSON string, want true or false`},
		"a string for a list":  {settings: `{"list":"a"}`, wantErr: `setting "list": got a JSON string, want a list`},
		"a list for a map":     {settings: `{"map":[]}`, wantErr: `setting "map": got a JSON array, want an object`},
		"a number in a list":   {settings: `{"list":[1]}`, wantErr: `setting "list": got a JSON number, want a string`},
		"a list":               {settings: `[]`, wantErr: "settings must be an object"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got settings
			err := guest.DecodeSettings(json.RawMessage(tc.settings), &got, "flag", "list", "map")
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if gotErr != tc.wantErr {
				t.Errorf("got  error %q\nwant error %q", gotErr, tc.wantErr)
			}
			if tc.wantErr == "" {
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
		})
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

func TestMember(t *testing.T) {
	const object = ` {"a":{"b":{"c": [1, 2] }},"n":null,"t":"x","twice":1,"twice":2}`
	tests := map[string]struct {
		path          []string
		want, wantErr string
	}{
		"the whole":         {nil, object, ""},
		"deep":              {[]string{"a", "b", "c"}, "[1, 2]", ""},
		"not there":         {[]string{"a", "x", "c"}, "", ""},
		"null on the way":   {[]string{"n", "x"}, "", ""},
		"text on the way":   {[]string{"t", "x"}, "", `t: got "x", want an object`},
		"a list on the way": {[]string{"a", "b", "c", "d"}, "", "a: b: c: got [1, 2], want an object"},
		"the first of two":  {[]string{"twice"}, "1", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := guest.Member(json.RawMessage(object), tc.path...)
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if string(got) != tc.want || gotErr != tc.wantErr {
				t.Errorf("got  %s, %q\nwant %s, %q", got, gotErr, tc.want, tc.wantErr)
			}
		})
	}
}

func TestPrepareAsksWhatAPolicyUsesAndForgetsTheAnswer(t *testing.T) {
	var asked []string
	policy := guest.Policy{
		Validate: func(request guest.Request) (guest.Response, error) {
			var spec struct{ Containers []struct{ Name string } }
			if err := request.DecodeContainers(&spec, "name"); err != nil || len(spec.Containers) == 0 {
				t.Errorf("got %+v, %v: nothing that a policy about containers learns from", spec, err)
			}
			asked = append(asked, "validate "+string(request.Settings))
			return guest.Response{}, errors.New("no idea")
		},
		ValidateSettings: func(settings json.RawMessage) error {
			asked = append(asked, "validate_settings "+string(settings))
			return errors.New("not like that")
		},
		Example: guest.Example{Settings: json.RawMessage(`{"pattern":"^a"}`)},
	}
	policy.Prepare()
	want := []string{"validate {}", "validate_settings {}", `validate {"pattern":"^a"}`, `validate_settings {"pattern":"^a"}`}
	if diff := cmp.Diff(want, slices.Compact(slices.Clone(asked))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if sizes := slices.Index(asked, want[1]); sizes < 2 {
		t.Errorf("asked %d times about a Pod, want once for each of several lengths", sizes)
	}
}

func TestPrepareAsksAboutTheRequestOfAnExample(t *testing.T) {
	const own = `{"user":"a"}`
	var asked []string
	policy := guest.Policy{
		Raw: true,
		Validate: func(request guest.Request) (guest.Response, error) {
			asked = append(asked, string(request.Document))
			return guest.Accept(), nil
		},
		ValidateSettings: func(json.RawMessage) error { return nil },
		Example:          guest.Example{Request: json.RawMessage(own)},
	}
	policy.Prepare()
	if got := slices.Compact(asked); len(got) != 2 || got[1] != own {
		t.Errorf("asked about %q, want a Pod and %s", got, own)
	}
}
