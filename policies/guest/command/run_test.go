package command_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/command"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestRun(t *testing.T) {
	policy := guest.Policy{
		Validate: func(request guest.Request) (guest.Response, error) {
			if !request.Object.Exists() {
				return guest.Response{}, errors.New("no idea")
			}
			return guest.Accept(), nil
		},
		ValidateSettings: func(document.Value) error { return nil },
	}
	tests := map[string]struct {
		args                   []string
		stdin                  string
		wantCode               int
		wantStdout, wantStderr string
	}{
		"a request":             {[]string{"validate"}, `{"request":{"object":{}}}`, 0, `{"accepted":true}`, ""},
		"settings":              {[]string{"validate-settings"}, `{}`, 0, `{"valid":true}`, ""},
		"a request that fails":  {[]string{"validate"}, `{"request":{}}`, 1, "", "no idea\n"},
		"another argument":      {[]string{"validate_settings"}, `{}`, 1, "", "got arguments [\"validate_settings\"], want validate or validate-settings\n"},
		"no argument":           {nil, `{}`, 1, "", "got arguments [], want validate or validate-settings\n"},
		"a question that is no": {[]string{"validate"}, `{`, 1, "", "decode validation request: unexpected end of JSON input\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := command.Run(command.Process{Args: tc.args, Stdin: strings.NewReader(tc.stdin), Stdout: &stdout, Stderr: &stderr}, policy)
			if code != tc.wantCode || stdout.String() != tc.wantStdout || stderr.String() != tc.wantStderr {
				t.Errorf("got  %d, %q, %q\nwant %d, %q, %q", code, &stdout, &stderr, tc.wantCode, tc.wantStdout, tc.wantStderr)
			}
		})
	}
}
