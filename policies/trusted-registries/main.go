package main

import (
	"os"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/command"
)

func main() {
	os.Exit(command.Run(command.OS(), guest.Policy{
		Validate: validate, ValidateSettings: validateSettings,
		Example: guest.Example{Settings: `{"registries":["registry.example"]}`},
	}))
}
