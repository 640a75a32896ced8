package guest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestDecodeSettings(t *testing.T) {
	type settings struct {
		Flag bool
		List []string
		Map  map[string]string
		Text string
		Any  string // JSON
	}
	tests := map[string]struct {
		settings string
		want     settings
		wantErr  string
	}{
		"nothing": {settings: ``},
		"null":    {settings: ` null `},
		"everything": {
			settings: `{"flag":true,"list":["a"],"map":{"b":"c"},"text":"d","any":[1]}`,
			want:     settings{true, []string{"a"}, map[string]string{"b": "c"}, "d", "[1]"},
		},
		"null in the place of each": {settings: `{"flag":null,"list":null,"map":null,"text":null,"any":null}`},
		"the first of two":          {settings: `{"flag":true,"text":null,"flag":1,"text":"d"}`, want: settings{Flag: true}},
		"an unknown name":           {settings: `{"flag":1,"flags":true}`, wantErr: `unknown setting "flags", allowed are: flag, list, map, text, any, other`},
		"a name in other case":      {settings: `{"Flag":true}`, wantErr: `unknown setting "Flag", allowed are: flag, list, map, text, any, other`},
		"a string for a flag":       {settings: `{"flag":"yes"}`, wantErr: `setting "flag": got "yes", want true or false`},
		"a string for a list":       {settings: `{"list":"a"}`, wantErr: `setting "list": got "a", want a list`},
		"a list for a map":          {settings: `{"map":[]}`, wantErr: `setting "map": got [], want an object`},
		"a number in a list":        {settings: `{"list":["a",1]}`, wantErr: `setting "list"[1]: got 1, want a string`},
		"a number in a map":         {settings: `{"map":{"a":1}}`, wantErr: `setting "map": a: got 1, want a string`},
		"a flag for a string":       {settings: `{"text":true}`, wantErr: `setting "text": got true, want a string`},
		"what the policy refuses":   {settings: `{"any":1}`, wantErr: `setting "any": got 1, want a list`},
		"what has no place":         {settings: `{"other":1}`, wantErr: `setting "other": the policy has no place for it`},
		"a list":                    {settings: `[]`, wantErr: "got [], want an object that may have flag, list, map, text, any, other"},
		"what is no JSON":           {settings: `{"flag":true,}`, wantErr: "got }, want something behind the comma"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got settings
			err := guest.DecodeSettings(document.MustRead(tc.settings),
				guest.Setting{Name: "flag", Into: &got.Flag}, guest.Setting{Name: "list", Into: &got.List}, guest.Setting{Name: "map", Into: &got.Map},
				guest.Setting{Name: "text", Into: &got.Text}, guest.Setting{Name: "any", Into: func(value document.Value) error {
					got.Any = value.JSON()
					_, err := value.List()
					return err
				}}, guest.Setting{Name: "other", Into: new(int)})
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

func TestDecodeSettingsLeavesWhatIsNotSet(t *testing.T) {
	text, list := "default", []string{"default"}
	err := guest.DecodeSettings(document.MustRead(`{"list":null}`), guest.Setting{Name: "text", Into: &text}, guest.Setting{Name: "list", Into: &list})
	if err != nil || text != "default" || len(list) != 1 {
		t.Errorf("got %q, %q, %v, want what there was", text, list, err)
	}
}
