// Command go-wasi-raw is a policy for requests of any form, as a command of WASI: it accepts
// what its settings name.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/command"
)

type settings struct {
	Users     []string `json:"validUsers"`
	Actions   []string `json:"validActions"`
	Resources []string `json:"validResources"`
}

func main() {
	os.Exit(command.Run(command.OS(), guest.Policy{Raw: true, Validate: validate, ValidateSettings: validateSettings}))
}

func validateSettings(raw json.RawMessage) error {
	return guest.DecodeSettings(raw, &settings{}, "validUsers", "validActions", "validResources")
}

func validate(request guest.Request) (guest.Response, error) {
	var allowed settings
	if err := json.Unmarshal(request.Settings, &allowed); err != nil {
		return guest.Response{}, fmt.Errorf("decode settings: %w", err)
	}
	for _, one := range []struct {
		name  string
		names []string
	}{{"user", allowed.Users}, {"action", allowed.Actions}, {"resource", allowed.Resources}} {
		value, _, err := guest.Text(request.Document, one.name)
		if err != nil {
			return guest.Response{}, fmt.Errorf("decode request: %w", err)
		}
		if !slices.Contains(one.names, value) {
			return guest.Reject(fmt.Sprintf("%s %q is not allowed", one.name, value)), nil
		}
	}
	return guest.Accept(), nil
}
