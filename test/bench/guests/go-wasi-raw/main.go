// Command go-wasi-raw is a policy for requests of any form, as a command of WASI: it accepts
// what its settings name.
package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/command"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

type settings struct{ users, actions, resources []string }

func main() {
	os.Exit(command.Run(command.OS(), guest.Policy{Raw: true, Validate: validate, ValidateSettings: validateSettings}))
}

func decodeSettings(raw document.Value) (settings, error) {
	var decoded settings
	err := guest.DecodeSettings(raw,
		guest.Setting{Name: "validUsers", Into: &decoded.users},
		guest.Setting{Name: "validActions", Into: &decoded.actions},
		guest.Setting{Name: "validResources", Into: &decoded.resources})
	return decoded, err
}

func validateSettings(raw document.Value) error {
	_, err := decodeSettings(raw)
	return err
}

func validate(request guest.Request) (guest.Response, error) {
	allowed, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode settings: %w", err)
	}
	names := []string{"user", "action", "resource"}
	values, err := request.Document.TextsOf(names...)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode request: %w", err)
	}
	for i, valid := range [][]string{allowed.users, allowed.actions, allowed.resources} {
		if !slices.Contains(valid, values[i]) {
			return guest.Reject(fmt.Sprintf("%s %q is not allowed", names[i], values[i])), nil
		}
	}
	return guest.Accept(), nil
}
