package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

func TestAppendValidationRequest(t *testing.T) {
	tests := map[string]struct {
		request  string
		settings string
		want     string
	}{
		"bytes are copied as they are": {
			request:  `{"n":12345678901234567890.0, "a" : 1}`,
			settings: `{"b":2}`,
			want:     `{"request":{"n":12345678901234567890.0, "a" : 1},"settings":{"b":2}}`,
		},
		"no settings are an empty object":   {request: `1`, settings: ``, want: `{"request":1,"settings":{}}`},
		"null settings are an empty object": {request: `1`, settings: `null`, want: `{"request":1,"settings":{}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := protocol.AppendValidationRequest(nil, json.RawMessage(tc.request), json.RawMessage(tc.settings))
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDecodeValidationResponse(t *testing.T) {
	tests := map[string]struct {
		document string
		want     protocol.ValidationResponse
		wantErr  string
	}{
		"accepted": {document: `{"accepted":true}`, want: protocol.ValidationResponse{Accepted: true}},
		"everything": {
			document: `{"accepted":false,"message":"no","code":403,"mutated_object":{"a":[1.50]},` +
				`"audit_annotations":{"k":"v"},"warnings":["careful"],"more":[]}`,
			want: protocol.ValidationResponse{
				Message:          new("no"),
				Code:             new(uint16(403)),
				MutatedObject:    json.RawMessage(`{"a":[1.50]}`),
				AuditAnnotations: map[string]string{"k": "v"},
				Warnings:         []string{"careful"},
			},
		},
		"null is absence": {
			document: `{"accepted":true,"message":null,"code":null,"mutated_object":null,"audit_annotations":null,"warnings":null}`,
			want:     protocol.ValidationResponse{Accepted: true},
		},
		"an empty message is a message": {
			document: `{"accepted":false,"message":""}`,
			want:     protocol.ValidationResponse{Message: new("")},
		},
		"a mutated object that is a string stays one": {
			document: `{"accepted":true,"mutated_object":"{}"}`,
			want:     protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`"{}"`)},
		},
		"no verdict":                 {document: `{}`, wantErr: "accepted: missing, want true or false"},
		"a verdict of null":          {document: `{"accepted":null}`, wantErr: "accepted: missing, want true or false"},
		"a verdict of another type":  {document: `{"accepted":"true"}`, wantErr: "accepted: got a JSON string, want true or false"},
		"a key in another case":      {document: `{"Accepted":true}`, wantErr: "accepted: missing, want true or false"},
		"two verdicts":               {document: `{"accepted":false,"accepted":true}`, wantErr: "accepted: stands twice"},
		"a code beyond 16 bits":      {document: `{"accepted":true,"code":65536}`, wantErr: "code: got a JSON number 65536, want an integer from 0 to 65535"},
		"a negative code":            {document: `{"accepted":true,"code":-1}`, wantErr: "code: got a JSON number -1, want an integer from 0 to 65535"},
		"a code with a fraction":     {document: `{"accepted":true,"code":1.5}`, wantErr: "code: got a JSON number 1.5, want an integer from 0 to 65535"},
		"an annotation of null":      {document: `{"accepted":true,"audit_annotations":{"a":null}}`, wantErr: `audit_annotations["a"]: got null, want a string`},
		"a warning of null":          {document: `{"accepted":true,"warnings":[null]}`, wantErr: "warnings[0]: got null, want a string"},
		"warnings that are no list":  {document: `{"accepted":true,"warnings":"x"}`, wantErr: "warnings: got a JSON string, want a list of strings"},
		"a list":                     {document: `[]`, wantErr: "not a JSON object"},
		"nothing":                    {document: ``, wantErr: "JSON ends too early"},
		"cut off":                    {document: `{"accepted":true`, wantErr: "JSON ends too early"},
		"something behind":           {document: `{"accepted":true}{}`, wantErr: "something follows the JSON object"},
		"a comma behind":             {document: `{"accepted":true},`, wantErr: "something follows the JSON object"},
		"invalid UTF-8":              {document: "{\"accepted\":true,\"message\":\"\xff\"}", wantErr: "not valid UTF-8"},
		"an object nested very deep": {document: `{"accepted":true,"mutated_object":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, wantErr: "mutated_object: nested deeper than 128"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := protocol.DecodeValidationResponse([]byte(tc.document))
			check(t, err, tc.wantErr)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDecodeSettingsValidationResponse(t *testing.T) {
	tests := map[string]struct {
		document string
		want     protocol.SettingsValidationResponse
		wantErr  string
	}{
		"valid":                         {document: `{"valid":true}`, want: protocol.SettingsValidationResponse{Valid: true}},
		"invalid":                       {document: `{"valid":false,"message":"no"}`, want: protocol.SettingsValidationResponse{Message: new("no")}},
		"no verdict":                    {document: `{"validate":true}`, wantErr: "valid: missing, want true or false"},
		"a message of another type":     {document: `{"valid":true,"message":1}`, wantErr: "message: got a JSON number, want a string"},
		"a number of another JSON type": {document: `{"valid":1}`, wantErr: "valid: got a JSON number, want true or false"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := protocol.DecodeSettingsValidationResponse([]byte(tc.document))
			check(t, err, tc.wantErr)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %q, want none", err)
	case want != "" && (err == nil || err.Error() != want):
		t.Errorf("got error %v\nwant      %s", err, want)
	}
}

// Whatever a guest answers, decoding it ends in a verdict or an error, and a verdict that
// is decoded says in JSON what it was decoded from.
func FuzzDecodeValidationResponse(f *testing.F) {
	for _, seed := range []string{
		`{"accepted":true}`, `{"accepted":false,"message":"no","code":403}`, `{"accepted":true,"mutated_object":{"a":1}}`,
		`{"accepted":true,"warnings":["a"],"audit_annotations":{"b":"c"}}`, `{`, `null`, `{"accepted":true}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		response, err := protocol.DecodeValidationResponse(document)
		if err != nil {
			return
		}
		var plain map[string]json.RawMessage
		if err := json.Unmarshal(document, &plain); err != nil {
			t.Fatalf("decoded %q, which is not JSON: %v", document, err)
		}
		want := "false"
		if response.Accepted {
			want = "true"
		}
		if got := string(plain["accepted"]); got != want {
			t.Fatalf("decoded accepted %s from %q, which says %s", want, document, got)
		}
	})
}
