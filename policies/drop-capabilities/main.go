package main

import (
	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/wapc"
)

var _ = wapc.Register(guest.Policy{
	Validate: validate, ValidateSettings: validateSettings,
	Example: guest.Example{Settings: `{"required_drop_capabilities":["ALL"],"default_add_capabilities":["CHOWN"]}`},
})

func main() {}
