package main

import (
	"encoding/json"
	"os"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/command"
)

func main() {
	os.Exit(command.Run(command.OS(), guest.Policy{
		Validate: validate, ValidateSettings: validateSettings,
		Example: guest.Example{Settings: json.RawMessage(`{"registries":["registry.example"]}`)},
	}))
}
