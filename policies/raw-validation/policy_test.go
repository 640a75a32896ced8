package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

const valid = `{"validUsers":["tonio"],"validActions":["eats","drinks"],"validResources":["hay"]}`

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		document string
		want     guest.Response
		wantErr  string
	}{
		"allowed":          {document: `{"user":"tonio","action":"eats","resource":"hay","uid":1}`, want: guest.Accept()},
		"another user":     {document: `{"user":"wanda","action":"eats","resource":"hay"}`, want: guest.Reject(`user "wanda" is not allowed`)},
		"another action":   {document: `{"user":"tonio","action":"sells","resource":"hay"}`, want: guest.Reject(`action "sells" is not allowed`)},
		"another resource": {document: `{"user":"tonio","action":"eats","resource":"banana"}`, want: guest.Reject(`resource "banana" is not allowed`)},
		"no resource":      {document: `{"user":"tonio","action":"eats"}`, wantErr: "decode request: want an object with user, action and resource"},
		"a list":           {document: `[]`, wantErr: "decode request: got [], want an object"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := validate(guest.Request{Document: document.MustRead(tc.document), Settings: document.MustRead(valid)})
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if gotErr != tc.wantErr {
				t.Errorf("got error %q, want %q", gotErr, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	if _, err := validate(guest.Request{Document: document.MustRead(`{}`)}); err == nil {
		t.Error("judged a request without settings")
	}
}

func TestValidateSettings(t *testing.T) {
	for settings, want := range map[string]string{
		valid: "",
		`{}`:  `setting "validUsers": got nothing, want at least one name`,
		`{"validUsers":["tonio"],"validActions":["eats"]}`: `setting "validResources": got nothing, want at least one name`,
		`{"users":[]}`: `unknown setting "users", allowed are: validUsers, validActions, validResources`,
	} {
		got := ""
		if err := validateSettings(document.MustRead(settings)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", settings, got, want)
		}
	}
}
