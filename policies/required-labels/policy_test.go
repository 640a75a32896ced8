package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestValidate(t *testing.T) {
	const settings = `{"mandatory_labels":["team","app.kubernetes.io/name"],"denied_labels":["owner"],"constrained_labels":{"env":"^(dev|prod)$"}}`
	tests := map[string]struct {
		object string
		want   guest.Response
	}{
		"all is well":             {`{"metadata":{"labels":{"team":"","app.kubernetes.io/name":"x","env":"dev"}}}`, guest.Accept()},
		"constrained but absent":  {`{"metadata":{"labels":{"team":"a","app.kubernetes.io/name":"x"}}}`, guest.Accept()},
		"no labels at all":        {`{"metadata":{}}`, guest.Reject(`mandatory label "app.kubernetes.io/name" is missing; mandatory label "team" is missing`)},
		"no metadata":             {`{}`, guest.Reject(`mandatory label "app.kubernetes.io/name" is missing; mandatory label "team" is missing`)},
		"a denied label":          {`{"metadata":{"labels":{"team":"a","app.kubernetes.io/name":"x","owner":"me"}}}`, guest.Reject(`label "owner" is denied`)},
		"a value out of bounds":   {`{"metadata":{"labels":{"team":"a","app.kubernetes.io/name":"x","env":"qa"}}}`, guest.Reject(`label "env" has value "qa", which does not match "^(dev|prod)$"`)},
		"everything is wrong":     {`{"metadata":{"labels":{"owner":"me","env":"qa"}}}`, guest.Reject(`mandatory label "app.kubernetes.io/name" is missing; mandatory label "team" is missing; label "owner" is denied; label "env" has value "qa", which does not match "^(dev|prod)$"`)},
		"nothing, as in deletion": {"", guest.Accept()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			request := guest.Request{Settings: document.MustRead(settings)}
			if tc.object != "" {
				request.Object = document.MustRead(tc.object)
			}
			got, err := validate(request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateFailsClosed(t *testing.T) {
	_, err := validate(guest.Request{Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(`{"metadata":{"labels":[]}}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "decode Pod: ") {
		t.Errorf("got %v, want an error about the object", err)
	}
	_, err = validate(guest.Request{Object: document.MustRead(`{}`), Settings: document.MustRead(`{"x":1}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "invalid settings: ") {
		t.Errorf("got %v, want an error about the settings", err)
	}
}

func TestValidateSettings(t *testing.T) {
	const notAKey = ` is not the key of a label: want a name of at most 63 letters, digits, '-', '_' and '.', which may follow a DNS subdomain and '/'`
	tests := map[string]struct {
		settings string
		want     string
	}{
		"none":                   {`{}`, ""},
		"all":                    {`{"mandatory_labels":["a"],"denied_labels":["example.com/b"],"constrained_labels":{"a":"^x+$"}}`, ""},
		"an unknown name":        {`{"required":["a"]}`, `unknown setting "required", allowed are: mandatory_labels, denied_labels, constrained_labels`},
		"a string for a list":    {`{"mandatory_labels":"team"}`, `setting "mandatory_labels": got "team", want a list`},
		"a list for a map":       {`{"constrained_labels":["a"]}`, `setting "constrained_labels": got ["a"], want an object`},
		"no regular expression":  {`{"constrained_labels":{"env":"^(dev"}}`, "constrained_labels[\"env\"]: \"^(dev\" is not a regular expression: error parsing regexp: missing closing ): `^(dev`"},
		"no key":                 {`{"denied_labels":["a","b c"]}`, `denied_labels[1]: "b c"` + notAKey},
		"an empty key":           {`{"mandatory_labels":[""]}`, `mandatory_labels[0]: ""` + notAKey},
		"a prefix in upper case": {`{"constrained_labels":{"Example.com/a":"x"}}`, `constrained_labels: "Example.com/a"` + notAKey},
		"an empty prefix":        {`{"mandatory_labels":["/a"]}`, `mandatory_labels[0]: "/a"` + notAKey},
		"a key that is too long": {`{"mandatory_labels":["` + strings.Repeat("a", 64) + `"]}`, `mandatory_labels[0]: "` + strings.Repeat("a", 64) + `"` + notAKey},
		"listed twice":           {`{"mandatory_labels":["a","b","a"]}`, `mandatory_labels[2]: label "a" is listed twice`},
		"mandatory and denied":   {`{"mandatory_labels":["a"],"denied_labels":["a"]}`, `label "a" is in mandatory_labels and in denied_labels: no object could satisfy both`},
		"constrained and denied": {`{"constrained_labels":{"a":"x"},"denied_labels":["a"]}`, `label "a" is in constrained_labels and in denied_labels: no value could satisfy both`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := validateSettings(document.MustRead(tc.settings)); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
